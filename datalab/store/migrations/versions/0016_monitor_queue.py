"""When runs were to begin, and how often they did."""

import sqlalchemy as sa
from alembic import op

revision = "0016_monitor_queue"
down_revision = "0015_bridge_windows"


def upgrade() -> None:
    op.add_column("monitor_runs", sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("monitor_runs", sa.Column("attempts", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("monitor_runs", "attempts")
    op.drop_column("monitor_runs", "due_at")
