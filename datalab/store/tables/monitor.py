"""What is known of each trouble, the episodes of alerts, the last known state of each run, and overruns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, CheckConstraint, Index, desc, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from datalab.store.base import Base, now_column


class ConditionRow(Base):
    """What the newest events said about one trouble. Its row lock makes decisions on a fingerprint take turns."""

    __tablename__ = "monitor_conditions"
    __table_args__ = (Index("ix_monitor_conditions_held", "rule", postgresql_where=text("held_event IS NOT NULL")),)

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str]
    last_bad_at: Mapped[datetime | None]
    last_bad_event: Mapped[str | None]
    last_good_at: Mapped[datetime | None]
    # How often trouble returned within the open episode, though it seemed to be over.
    reversals: Mapped[int] = mapped_column(server_default="0")
    # An event that has to last longer before it fires, or ends what fires; looked at again until then.
    held_event: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class EpisodeRow(Base):
    """One time that something went wrong. At most one is open per fingerprint, which the database itself holds.

    `*_event` keeps the alert event as it was (or will be) published; it is published after the commit, again
    after a crash, always under the same id.
    """

    __tablename__ = "monitor_episodes"
    __table_args__ = (
        CheckConstraint("status IN ('firing', 'resolved')", name="status"),
        Index("uq_monitor_episodes_open", "fingerprint", unique=True, postgresql_where=text("status = 'firing'")),
        Index("ix_monitor_episodes_newest", "starts_at", "episode"),
        Index(
            "ix_monitor_episodes_unpublished",
            "updated_at",
            postgresql_where=text("NOT firing_published OR (status = 'resolved' AND NOT resolved_published)"),
        ),
    )

    episode: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    rule: Mapped[str]
    severity: Mapped[str]
    status: Mapped[str]
    summary: Mapped[str]
    description: Mapped[str]
    labels: Mapped[dict[str, Any]]
    annotations: Mapped[dict[str, Any]]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    firing_event: Mapped[dict[str, Any]]
    firing_published: Mapped[bool] = mapped_column(Boolean, default=False)
    resolved_event: Mapped[dict[str, Any] | None]
    resolved_published: Mapped[bool] = mapped_column(Boolean, default=False)
    updated_at: Mapped[datetime] = now_column()


class RunRow(Base):
    """The newest known state of a flow run; out-of-order and repeated events do not move it back."""

    __tablename__ = "monitor_runs"
    __table_args__ = (
        Index(None, "deployment", "occurred_at"),
        Index("ix_monitor_runs_newest", "occurred_at", "run_id"),
        Index("ix_monitor_runs_flow_occurred_at", "flow", "occurred_at"),
        Index("ix_monitor_runs_of_each", "flow", "deployment", desc("occurred_at")),
        Index("ix_monitor_runs_running", "running_since", postgresql_where=text("state_type = 'RUNNING'")),
    )

    run_id: Mapped[str] = mapped_column(primary_key=True)
    run_name: Mapped[str]
    flow: Mapped[str]
    deployment: Mapped[str | None]
    state_type: Mapped[str]
    state_name: Mapped[str]
    message: Mapped[str | None]
    occurred_at: Mapped[datetime]
    start_time: Mapped[datetime | None]
    end_time: Mapped[datetime | None]
    duration_s: Mapped[float | None]
    # When its code was to begin, and how often it has.
    due_at: Mapped[datetime | None]
    attempts: Mapped[int | None]
    # From when its time counts against its limit, waits between retries included. None unless it is under way.
    running_since: Mapped[datetime | None]
    # The event that told this state, and the chain that it belongs to.
    event_id: Mapped[str | None]
    correlation_id: Mapped[str | None]


class OverrunRow(Base):
    """One time that a run exceeded its limit, with the event that says so; once per run and start.

    The event is stored before it is published and marked after, as alerts are.
    """

    __tablename__ = "monitor_overruns"
    __table_args__ = (Index("ix_monitor_overruns_unpublished", "created_at", postgresql_where=text("NOT published")),)

    run_id: Mapped[str] = mapped_column(primary_key=True)
    running_since: Mapped[datetime] = mapped_column(primary_key=True)
    limit_s: Mapped[float]
    event: Mapped[dict[str, Any]]
    published: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[datetime] = now_column()
