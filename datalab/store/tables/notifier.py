"""Subscriptions, deliveries and their attempts: the ledger that shows that nothing was lost."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Identity, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from datalab.store.base import Base, now_column


class SubscriptionRow(Base):
    """A webhook that wants events of some types, or alerts that match. `url` and `secrets` never leave the database but
    to be used; secrets are sealed (services.notifier.sealing).

    Nothing is sent before `consented_at`. `failing_since` is when the first of an unbroken row of failures was.
    `notice` is what its owner still has to be told: `firing` that it was switched off, `resolved` that it is on again.
    `allowed_per_min` is how many deliveries a minute the endpoint takes, by its own word; null: as many as there are.
    """

    __tablename__ = "notifier_subscriptions"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    url: Mapped[str]
    event_types: Mapped[list[Any]]
    secrets: Mapped[list[Any]]
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    disabled_reason: Mapped[str | None]
    owner: Mapped[str | None]
    match: Mapped[dict[str, Any] | None]
    ordering: Mapped[str] = mapped_column(default="none", server_default="none")
    public_key: Mapped[str | None]
    consent: Mapped[str | None]
    consent_reason: Mapped[str | None]
    consented_at: Mapped[datetime | None]
    allowed_per_min: Mapped[int | None]
    failing_since: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    notice: Mapped[str | None]
    created_at: Mapped[datetime] = now_column()
    updated_at: Mapped[datetime] = now_column()


class NoticeRow(Base):
    """An alert about a subscription that is gone, until Kafka has it."""

    __tablename__ = "notifier_notices"

    event_id: Mapped[str] = mapped_column(primary_key=True)
    event: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = now_column()


class AlertRow(Base):
    """One episode of an alert as the notifier has seen it: stored with its deliveries, before the offset moves."""

    __tablename__ = "notifier_alerts"
    __table_args__ = (
        CheckConstraint("status IN ('firing', 'resolved')", name="status"),
        Index(None, "fingerprint"),
        Index(None, "updated_at"),
    )

    episode: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    rule: Mapped[str]
    severity: Mapped[str]
    status: Mapped[str]
    summary: Mapped[str]
    labels: Mapped[dict[str, Any]]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    firing_event_id: Mapped[str | None]
    resolved_event_id: Mapped[str | None]
    correlation_id: Mapped[str]
    acked_by: Mapped[str | None]
    acked_at: Mapped[datetime | None]
    ack_comment: Mapped[str | None]
    created_at: Mapped[datetime] = now_column()
    updated_at: Mapped[datetime] = now_column()


class DeliveryRow(Base):
    """One event for one target. `id` is deterministic (event, channel, target key), so a repeat adds no row.

    due = delivered + pending + suppressed + dead, where due is every row. `attempts` counts claims and never goes
    back: it tells a worker whether its claim still holds. `attempts_before` is where the last replay started.
    Of those to one target with the same `order_key`, each waits for the ones of a lower `seq` to end.

    `kind` is why there is one; `answers` is the delivery that told what this one tells the end of. While `held` it is
    not due (`next_attempt_at` is infinite): it gathers in a group, waits in its target's queue, or is carried by the
    message `carried_by`, whose end becomes its own (trigger `notifier_follow`). `notice` is what a message tells
    beside its event: the alerts of a group or digest, or why it is sent again. `handed_to` is the delivery to the
    fall-back receiver.
    """

    __tablename__ = "notifier_deliveries"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'delivered', 'suppressed', 'dead')", name="status"),
        CheckConstraint("(status IN ('suppressed', 'dead')) <= (reason IS NOT NULL)", name="reason"),
        CheckConstraint("held IN ('group', 'queue', 'carried')", name="held"),
        Index(
            "ix_notifier_deliveries_held",
            "held",
            "target_key",
            "rank",
            "seq",
            postgresql_where=text("status = 'pending' AND held IS NOT NULL"),
        ),
        Index("ix_notifier_deliveries_carried_by", "carried_by", postgresql_where=text("carried_by IS NOT NULL")),
        Index(
            "ix_notifier_deliveries_failing",
            "target_key",
            "created_at",
            postgresql_where=text("handed_to IS NULL AND kind <> 'event' AND status IN ('pending', 'dead')"),
        ),
        Index("ix_notifier_deliveries_answers", "answers", postgresql_where=text("answers IS NOT NULL")),
        Index("ix_notifier_deliveries_due", "next_attempt_at", postgresql_where=text("status = 'pending'")),
        Index(
            "ix_notifier_deliveries_waiting",
            "target_key",
            "order_key",
            "seq",
            postgresql_where=text("status = 'pending'"),
        ),
        Index(
            "ix_notifier_deliveries_by_target",
            "target_key",
            "next_attempt_at",
            "seq",
            postgresql_where=text("status = 'pending'"),
        ),
        Index(
            "ix_notifier_deliveries_outcome",
            "finished_at",
            postgresql_where=text("NOT outcome_published AND status IN ('delivered', 'dead')"),
        ),
        Index(None, "created_at", "id"),
        Index(None, "subscription_id", "created_at", postgresql_where=text("subscription_id IS NOT NULL")),
        Index(None, "correlation_id"),
        Index(None, "event_id"),
        Index(None, "fingerprint"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    event_id: Mapped[str]
    event_type: Mapped[str]
    correlation_id: Mapped[str]
    fingerprint: Mapped[str | None]
    order_key: Mapped[str | None]
    channel: Mapped[str]
    target: Mapped[str]
    target_key: Mapped[str]
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("notifier_subscriptions.id", ondelete="SET NULL"))
    event: Mapped[dict[str, Any]]
    kind: Mapped[str] = mapped_column(server_default="event")
    episode: Mapped[str | None]
    rank: Mapped[int | None] = mapped_column(SmallInteger)
    route: Mapped[str | None]
    held: Mapped[str | None]
    group_key: Mapped[str | None]
    carried_by: Mapped[str | None]
    answers: Mapped[str | None]
    notice: Mapped[dict[str, Any] | None]
    handed_to: Mapped[str | None]
    status: Mapped[str]
    reason: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    attempts_before: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime] = now_column()
    claimed_until: Mapped[datetime | None]
    status_code: Mapped[int | None]
    outcome_published: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[datetime] = now_column()
    finished_at: Mapped[datetime | None]


class AttemptRow(Base):
    """One try of a delivery; append-only."""

    __tablename__ = "notifier_attempts"
    __table_args__ = (Index(None, "delivery_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    delivery_id: Mapped[str] = mapped_column(ForeignKey("notifier_deliveries.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    outcome: Mapped[str]
    status_code: Mapped[int | None]
    reason: Mapped[str | None]
    duration_ms: Mapped[int]
    answer: Mapped[str | None]
    at: Mapped[datetime] = now_column()


class AuditRow(Base):
    """A request that changed something, or tried to; append-only but for its outcome."""

    __tablename__ = "notifier_audit"
    __table_args__ = (Index(None, "at", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = now_column()
    who: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    outcome: Mapped[str | None]
