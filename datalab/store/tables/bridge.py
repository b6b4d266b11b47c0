"""Ledger of triggers, the run states already on Kafka, and the relay's cursor."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index
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
    status: Mapped[str]
    reason: Mapped[str | None]
    flow_run_id: Mapped[str | None]
    run_state: Mapped[str | None]
    created_at: Mapped[datetime] = now_column()
    updated_at: Mapped[datetime] = now_column()


class RunStateRow(Base):
    """One state of one run, kept so that it reaches `lab.runs` once. `published_at` is null until it did."""

    __tablename__ = "bridge_run_states"
    __table_args__ = (Index(None, "run_id"),)

    event_id: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str]
    state_id: Mapped[str]
    event_type: Mapped[str]
    published_at: Mapped[datetime | None]
    occurred_at: Mapped[datetime]


class CursorRow(Base):
    """How far a reader of an outside log has come."""

    __tablename__ = "bridge_cursors"

    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[datetime]
    updated_at: Mapped[datetime] = now_column()
