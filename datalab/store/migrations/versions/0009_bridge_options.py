"""Labels, work queue and name of the runs of triggers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009_bridge_options"
down_revision = "0008_notifier_claims"


def upgrade() -> None:
    op.add_column(
        "bridge_triggers",
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("bridge_triggers", "options")
