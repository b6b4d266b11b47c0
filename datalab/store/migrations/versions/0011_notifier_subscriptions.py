"""Subscriptions: owner, matchers, order, public key, consent, failures; answers of attempts; who changed what."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011_notifier_subscriptions"
down_revision = "0010_bridge_refused_states"

_TABLE = "notifier_subscriptions"


def upgrade() -> None:
    op.add_column(_TABLE, sa.Column("owner", sa.String(), nullable=True))
    op.add_column(_TABLE, sa.Column("match", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column(_TABLE, sa.Column("ordering", sa.String(), server_default="none", nullable=False))
    op.add_column(_TABLE, sa.Column("public_key", sa.String(), nullable=True))
    op.add_column(_TABLE, sa.Column("consent", sa.String(), nullable=True))
    op.add_column(_TABLE, sa.Column("consent_reason", sa.String(), nullable=True))
    op.add_column(_TABLE, sa.Column("consented_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(_TABLE, sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column(_TABLE, sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(_TABLE, sa.Column("notice", sa.String(), nullable=True))
    # They took deliveries before anybody asked.
    op.execute("UPDATE notifier_subscriptions SET consent = 'earlier', consented_at = created_at")
    op.add_column("notifier_attempts", sa.Column("answer", sa.String(), nullable=True))
    op.create_index(
        op.f("ix_notifier_deliveries_subscription_id_created_at"),
        "notifier_deliveries",
        ["subscription_id", "created_at"],
        postgresql_where=sa.text("subscription_id IS NOT NULL"),
    )
    op.create_table(
        "notifier_audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifier_audit")),
    )
    op.create_index(op.f("ix_notifier_audit_at_id"), "notifier_audit", ["at", "id"])


def downgrade() -> None:
    op.drop_table("notifier_audit")
    op.drop_index(op.f("ix_notifier_deliveries_subscription_id_created_at"), "notifier_deliveries")
    op.drop_column("notifier_attempts", "answer")
    for column in (
        "notice", "disabled_at", "failing_since", "consented_at", "consent_reason", "consent", "public_key", "ordering",
        "match", "owner",
    ):  # fmt: skip
        op.drop_column(_TABLE, column)
