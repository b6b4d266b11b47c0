"""Tokens, answers by Idempotency-Key and users' types of ingest."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006_ingest_api"
down_revision = "0005_monitor_limits"


def upgrade() -> None:
    op.create_table(
        "ingest_tokens",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("scopes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingest_tokens")),
        sa.UniqueConstraint("sha256", name=op.f("uq_ingest_tokens_sha256")),
        sa.UniqueConstraint("name", name=op.f("uq_ingest_tokens_name")),
    )
    op.create_table(
        "ingest_answers",
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("claim", sa.String(), nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("sender", "key", name=op.f("pk_ingest_answers")),
    )
    op.create_index(op.f("ix_ingest_answers_expires_at"), "ingest_answers", ["expires_at"], unique=False)
    op.create_table(
        "ingest_user_schemas",
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("schema", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("type", "version", name=op.f("pk_ingest_user_schemas")),
    )


def downgrade() -> None:
    op.drop_table("ingest_user_schemas")
    op.drop_index(op.f("ix_ingest_answers_expires_at"), table_name="ingest_answers")
    op.drop_table("ingest_answers")
    op.drop_table("ingest_tokens")
