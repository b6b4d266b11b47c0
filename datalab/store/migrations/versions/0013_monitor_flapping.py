"""How often a trouble returned within its episode."""

import sqlalchemy as sa
from alembic import op

revision = "0013_monitor_flapping"
down_revision = "0012_bridge_queue"


def upgrade() -> None:
    op.add_column("monitor_conditions", sa.Column("reversals", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("monitor_conditions", "reversals")
