"""Ledger of triggers, the run states already on Kafka, the relay's cursor, and the dead letters replayed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from datalab.store.base import Base, now_column


class TriggerRow(Base):
    """One (rule, event): the promise of exactly one run. `id` is deterministic, and so is the idempotency key."""

    __tablename__ = "bridge_triggers"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'created', 'dead')", name="status"),
        Index(None, "event_id"),
        Index(None, "flow_run_id"),
        Index(None, "correlation_id"),
        Index(None, "created_at", "id"),
        # The runs whose end the relay still has to see.
        Index(
            "ix_bridge_triggers_unfinished",
            "created_at",
            postgresql_where=text("status = 'created' AND NOT run_finished"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str]
    event_id: Mapped[str]
    event_type: Mapped[str]
    correlation_id: Mapped[str]
    topic: Mapped[str]
    partition: Mapped[int]
    offset: Mapped[int] = mapped_column(BigInteger)
    deployment: Mapped[str]
    idempotency_key: Mapped[str] = mapped_column(unique=True)
    parameters: Mapped[dict[str, Any]]
    tags: Mapped[list[Any]]
    # Further fields of the request to Prefect: labels, work_queue_name, name.
    options: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    status: Mapped[str]
    reason: Mapped[str | None]
    flow_run_id: Mapped[str | None]
    run_state: Mapped[str | None]
    run_finished: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = now_column()
    updated_at: Mapped[datetime] = now_column()


class RunStateRow(Base):
    """One state of one run, with its event. Stored before it is published: `published_at` is null until then.

    `seq` keeps the order of a run's states.
    """

    __tablename__ = "bridge_run_states"
    __table_args__ = (
        Index(None, "run_id"),
        Index("ix_bridge_run_states_unpublished", "seq", postgresql_where=text("published_at IS NULL")),
    )

    event_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    run_id: Mapped[str]
    state_id: Mapped[str]
    event_type: Mapped[str]
    state_name: Mapped[str]
    event: Mapped[dict[str, Any]]
    published_at: Mapped[datetime | None]
    # Why it can never be published, such as a record that is too large; `published_at` then tells since when.
    refused: Mapped[str | None]
    occurred_at: Mapped[datetime]


class CursorRow(Base):
    """How far a reader of an outside log has come."""

    __tablename__ = "bridge_cursors"

    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[datetime]
    updated_at: Mapped[datetime] = now_column()


class ReplayRow(Base):
    """A dead letter that was published again, so that it is not done twice by accident."""

    __tablename__ = "bridge_replays"

    dead_letter: Mapped[str] = mapped_column(primary_key=True)
    replayed_to: Mapped[str | None]
    created_at: Mapped[datetime] = now_column()
    replayed_at: Mapped[datetime | None]
