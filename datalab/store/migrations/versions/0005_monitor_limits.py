"""Limits, overruns, checks of services and measurements of monitor."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005_monitor_limits"
down_revision = "0004_notifier"


def upgrade() -> None:
    op.create_table(
        "monitor_measurements",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("of", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("previous_value", sa.Double(), nullable=True),
        sa.Column("previous_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", "label", "of", name=op.f("pk_monitor_measurements")),
    )
    op.create_table(
        "monitor_overruns",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("running_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("limit_s", sa.Double(), nullable=False),
        sa.Column("event", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("published", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "running_since", name=op.f("pk_monitor_overruns")),
    )
    op.create_index(
        "ix_monitor_overruns_unpublished",
        "monitor_overruns",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("NOT published"),
    )
    op.create_table(
        "monitor_rule_switches",
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("rule", name=op.f("pk_monitor_rule_switches")),
    )
    op.create_table(
        "monitor_service_checks",
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("check", sa.String(), nullable=False),
        sa.Column("failing", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("service", "check", name=op.f("pk_monitor_service_checks")),
    )
    op.create_table(
        "monitor_thresholds",
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("overrides", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("rule", "name", name=op.f("pk_monitor_thresholds")),
    )
    op.add_column("monitor_conditions", sa.Column("held_event", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.create_index(
        "ix_monitor_conditions_held",
        "monitor_conditions",
        ["rule"],
        unique=False,
        postgresql_where=sa.text("held_event IS NOT NULL"),
    )
    op.add_column("monitor_runs", sa.Column("running_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("monitor_runs", sa.Column("event_id", sa.String(), nullable=True))
    op.add_column("monitor_runs", sa.Column("correlation_id", sa.String(), nullable=True))
    # Runs that are under way while the monitor is upgraded have a limit too.
    op.execute("UPDATE monitor_runs SET running_since = coalesce(start_time, occurred_at) WHERE state_type = 'RUNNING'")
    op.create_index("ix_monitor_runs_flow_occurred_at", "monitor_runs", ["flow", "occurred_at"], unique=False)
    op.create_index(
        "ix_monitor_runs_running",
        "monitor_runs",
        ["running_since"],
        unique=False,
        postgresql_where=sa.text("state_type = 'RUNNING'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_monitor_runs_running", table_name="monitor_runs", postgresql_where=sa.text("state_type = 'RUNNING'")
    )
    op.drop_index("ix_monitor_runs_flow_occurred_at", table_name="monitor_runs")
    for column in ("correlation_id", "event_id", "running_since"):
        op.drop_column("monitor_runs", column)
    op.drop_index(
        "ix_monitor_conditions_held",
        table_name="monitor_conditions",
        postgresql_where=sa.text("held_event IS NOT NULL"),
    )
    op.drop_column("monitor_conditions", "held_event")
    op.drop_table("monitor_thresholds")
    op.drop_table("monitor_service_checks")
    op.drop_table("monitor_rule_switches")
    op.drop_index(
        "ix_monitor_overruns_unpublished", table_name="monitor_overruns", postgresql_where=sa.text("NOT published")
    )
    op.drop_table("monitor_overruns")
    op.drop_table("monitor_measurements")
