"""What the notifier remembers about alerts between events: who was told, silences, groups, escalations, pace."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Float, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from datalab.store.base import Base, now_column


class ToldRow(Base):
    """A target that is due to hear of an alert. `heard`: it was told that it fires, in `delivery_id`, and so will be
    told its end; else `reason` says why it was not, and `next_at` when that is looked at again. Of a target that was
    told, `next_at` is when it is reminded, every `repeat_s` seconds."""

    __tablename__ = "notifier_told"
    __table_args__ = (Index("ix_notifier_told_next_at", "next_at", postgresql_where=text("next_at IS NOT NULL")),)

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    target_key: Mapped[str] = mapped_column(primary_key=True)
    episode: Mapped[str]
    event_id: Mapped[str]
    channel: Mapped[str]
    target: Mapped[str]
    route: Mapped[str]
    group_key: Mapped[str | None]
    delivery_id: Mapped[str]
    heard: Mapped[bool] = mapped_column(Boolean)
    reason: Mapped[str | None]
    repeat_s: Mapped[float] = mapped_column(Float)
    repeats: Mapped[int] = mapped_column(server_default="0")
    next_at: Mapped[datetime | None]
    since: Mapped[datetime] = now_column()


class SilenceRow(Base):
    """Alerts that match are not told between `starts_at` and `ends_at`. It is ended by bringing `ends_at` forward."""

    __tablename__ = "notifier_silences"
    __table_args__ = (Index(None, "ends_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    matchers: Mapped[dict[str, Any]]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    author: Mapped[str]
    comment: Mapped[str]
    ended_by: Mapped[str | None]
    created_at: Mapped[datetime] = now_column()


class GroupRow(Base):
    """Alerts that one target is told together. `due_at` is when what has gathered becomes a message; none gathers
    while it is empty."""

    __tablename__ = "notifier_groups"
    __table_args__ = (Index("ix_notifier_groups_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),)

    group_key: Mapped[str] = mapped_column(primary_key=True)
    target_key: Mapped[str]
    route: Mapped[str]
    labels: Mapped[dict[str, Any]]
    wait_s: Mapped[float] = mapped_column(Float)
    interval_s: Mapped[float] = mapped_column(Float)
    due_at: Mapped[datetime | None]
    flushed_at: Mapped[datetime | None]
    flushes: Mapped[int] = mapped_column(server_default="0")


class EscalationRow(Base):
    """A step of a route that is taken at `due_at`, unless somebody has acknowledged the alert or it is over."""

    __tablename__ = "notifier_escalations"
    __table_args__ = (Index(None, "due_at"), Index(None, "episode"))

    id: Mapped[str] = mapped_column(primary_key=True)
    episode: Mapped[str]
    fingerprint: Mapped[str]
    event_id: Mapped[str]
    route: Mapped[str]
    step: Mapped[int]
    receivers: Mapped[list[Any]]
    after_s: Mapped[float] = mapped_column(Float)
    due_at: Mapped[datetime]


class PaceRow(Base):
    """The token bucket of a target: how many messages it may be sent now, as of `refilled_at`."""

    __tablename__ = "notifier_paces"

    target_key: Mapped[str] = mapped_column(primary_key=True)
    tokens: Mapped[float] = mapped_column(Float)
    refilled_at: Mapped[datetime] = now_column()
