"""Triggers that wait for their turn or have no run for a reason, their events, further attempts, paused rules."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012_bridge_queue"
down_revision = "0011_notifier_subscriptions"

_STATUS = "ck_bridge_triggers_status"
_JSON = postgresql.JSONB(astext_type=sa.Text())
_INDEXES = {
    "ix_bridge_triggers_waiting": (["rule", "key", "created_at"], "status = 'waiting'"),
    "ix_bridge_triggers_active": (["rule", "key"], "status = 'created' AND NOT run_finished"),
    "ix_bridge_triggers_failed": (
        ["updated_at"],
        "status = 'created' AND run_finished AND NOT followed_up AND run_state IN ('FAILED', 'CRASHED')",
    ),
    "ix_bridge_triggers_dead": (["rule", "updated_at"], "status = 'dead'"),
}


def _time(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    default = None if nullable else sa.text("now()")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def upgrade() -> None:
    for column in (
        sa.Column("key", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("rule_version", sa.String(), server_default=sa.text("''"), nullable=False),
        _time("due_at", nullable=True),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("retries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("earlier_runs", _JSON, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("followed_up", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    ):
        op.add_column("bridge_triggers", column)
    # Runs that failed before anybody could ask for another attempt: nothing follows them.
    op.execute("UPDATE bridge_triggers SET followed_up = true WHERE run_finished")
    op.drop_constraint(op.f(_STATUS), "bridge_triggers", type_="check")
    op.create_check_constraint(
        op.f(_STATUS), "bridge_triggers", "status IN ('pending', 'waiting', 'created', 'dead', 'suppressed')"
    )
    for name, (columns, where) in _INDEXES.items():
        op.create_index(name, "bridge_triggers", columns, unique=False, postgresql_where=sa.text(where))
    op.create_table(
        "bridge_trigger_events",
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("trigger_id", sa.String(), nullable=True),
        sa.Column("event", _JSON, nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        _time("created_at"),
        sa.PrimaryKeyConstraint("rule", "event_id", name=op.f("pk_bridge_trigger_events")),
    )
    op.create_index(op.f("ix_bridge_trigger_events_trigger_id"), "bridge_trigger_events", ["trigger_id"])
    op.create_index(op.f("ix_bridge_trigger_events_event_id"), "bridge_trigger_events", ["event_id"])
    op.create_table(
        "bridge_rule_pauses",
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("rule_version", sa.String(), nullable=False),
        _time("paused_at"),
        _time("resumed_at", nullable=True),
        sa.PrimaryKeyConstraint("rule", name=op.f("pk_bridge_rule_pauses")),
    )


def downgrade() -> None:
    op.drop_table("bridge_rule_pauses")
    op.drop_table("bridge_trigger_events")
    for name in _INDEXES:
        op.drop_index(name, "bridge_triggers")
    # What waits is lost to the version before, which knows neither of it nor of its events.
    op.execute(
        "UPDATE bridge_triggers SET status = 'dead', reason = 'waited' WHERE status IN ('waiting', 'suppressed')"
    )
    op.drop_constraint(op.f(_STATUS), "bridge_triggers", type_="check")
    op.create_check_constraint(op.f(_STATUS), "bridge_triggers", "status IN ('pending', 'created', 'dead')")
    for column in ("followed_up", "earlier_runs", "retries", "attempt", "due_at", "rule_version", "key"):
        op.drop_column("bridge_triggers", column)
