"""Why a run's state can never be published."""

import sqlalchemy as sa
from alembic import op

revision = "0010_bridge_refused_states"
down_revision = "0009_bridge_options"


def upgrade() -> None:
    op.add_column("bridge_run_states", sa.Column("refused", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("bridge_run_states", "refused")
