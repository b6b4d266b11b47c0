"""Ledger of triggers, the run states already on Kafka, the relay's cursor, and the dead letters replayed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from datalab.store.base import Base, now_column


class TriggerRow(Base):
    """One (rule, event) or (rule, window): the promise of exactly one run. `id` is deterministic, and so is the
    idempotency key. `waiting` rows have their turn in the order of `created_at` per rule and key; `suppressed` ones
    have no run, for a reason."""

    __tablename__ = "bridge_triggers"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'waiting', 'created', 'dead', 'suppressed')", name="status"),
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
        Index("ix_bridge_triggers_waiting", "rule", "key", "created_at", postgresql_where=text("status = 'waiting'")),
        Index(
            "ix_bridge_triggers_active",
            "rule",
            "key",
            postgresql_where=text("status = 'created' AND NOT run_finished"),
        ),
        Index(
            "ix_bridge_triggers_failed",
            "updated_at",
            postgresql_where=text(
                "status = 'created' AND run_finished AND NOT followed_up AND run_state IN ('FAILED', 'CRASHED')"
            ),
        ),
        Index("ix_bridge_triggers_dead", "rule", "updated_at", postgresql_where=text("status = 'dead'")),
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
    # What shares a key keeps its order, and counts together against the rule's limits.
    key: Mapped[str] = mapped_column(server_default=text("''"))
    # The version of the rule that parameters, tags and options were rendered with; empty: not rendered yet.
    rule_version: Mapped[str] = mapped_column(server_default=text("''"))
    # Of a window: its start and end. Its events are in bridge_trigger_events.
    window: Mapped[dict[str, Any] | None]
    # A waiting row has no turn before this time.
    due_at: Mapped[datetime | None]
    # The number of the run, counted from 1; and how many of them were retries of their own accord.
    attempt: Mapped[int] = mapped_column(server_default=text("1"))
    retries: Mapped[int] = mapped_column(server_default=text("0"))
    earlier_runs: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    # Whether it has been decided what follows its failed run.
    followed_up: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = now_column()
    updated_at: Mapped[datetime] = now_column()


class TriggerEventRow(Base):
    """An event that a trigger needs beyond the turn of its record: to be rendered later, or to become a dead letter."""

    __tablename__ = "bridge_trigger_events"
    __table_args__ = (Index(None, "trigger_id"), Index(None, "event_id"))

    rule: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    trigger_id: Mapped[str | None]
    event: Mapped[dict[str, Any]]
    topic: Mapped[str]
    partition: Mapped[int]
    offset: Mapped[int] = mapped_column(BigInteger)
    occurred_at: Mapped[datetime]
    created_at: Mapped[datetime] = now_column()


class WindowRow(Base):
    """What a rule with windows remembers of one key. `due_at` is when time alone changes something."""

    __tablename__ = "bridge_windows"
    __table_args__ = (Index(None, "due_at"),)

    rule: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    state: Mapped[dict[str, Any]]
    due_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = now_column()


class RulePauseRow(Base):
    """A rule that starts nothing: since when, why, and in which version. Resumed ones stay, for dead letters from
    before do not count again."""

    __tablename__ = "bridge_rule_pauses"

    rule: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    rule_version: Mapped[str]
    paused_at: Mapped[datetime] = now_column()
    resumed_at: Mapped[datetime | None]


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
