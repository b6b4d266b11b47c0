"""The newest run of each deployment, found without reading the others."""

from alembic import op

revision = "0018_monitor_deployments"
down_revision = "0017_notifier_notices"


def upgrade() -> None:
    op.execute("CREATE INDEX ix_monitor_runs_of_each ON monitor_runs (flow, deployment, occurred_at DESC)")


def downgrade() -> None:
    op.drop_index("ix_monitor_runs_of_each", "monitor_runs")
