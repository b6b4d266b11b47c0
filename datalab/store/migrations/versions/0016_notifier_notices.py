"""Notices about subscriptions that are gone, and how many deliveries a minute an endpoint allows."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016_notifier_notices"
down_revision = "0015_bridge_windows"


def upgrade() -> None:
    op.add_column("notifier_subscriptions", sa.Column("allowed_per_min", sa.Integer(), nullable=True))
    op.create_table(
        "notifier_notices",
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("event", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_notifier_notices")),
    )


def downgrade() -> None:
    op.drop_table("notifier_notices")
    op.drop_column("notifier_subscriptions", "allowed_per_min")
