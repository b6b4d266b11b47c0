"""Windows of rules over several events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015_bridge_windows"
down_revision = "0014_notifier_alerting"

_JSON = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.add_column("bridge_triggers", sa.Column("window", _JSON, nullable=True))
    op.create_table(
        "bridge_windows",
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", _JSON, nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("rule", "key", name=op.f("pk_bridge_windows")),
    )
    op.create_index(op.f("ix_bridge_windows_due_at"), "bridge_windows", ["due_at"])


def downgrade() -> None:
    op.drop_table("bridge_windows")
    op.drop_column("bridge_triggers", "window")
