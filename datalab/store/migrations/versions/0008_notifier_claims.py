"""Claims by target: an order of arrival that does not depend on clocks, and indexes for the oldest of each target."""

import sqlalchemy as sa
from alembic import op

revision = "0008_notifier_claims"
down_revision = "0007_ingest_objects"

_PENDING = sa.text("status = 'pending'")


def upgrade() -> None:
    op.add_column("notifier_deliveries", sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False))
    op.add_column("notifier_deliveries", sa.Column("order_key", sa.String(), nullable=True))
    op.execute("UPDATE notifier_deliveries SET order_key = fingerprint")
    op.drop_index("ix_notifier_deliveries_waiting", "notifier_deliveries")
    op.create_index(
        "ix_notifier_deliveries_waiting",
        "notifier_deliveries",
        ["target_key", "order_key", "seq"],
        postgresql_where=_PENDING,
    )
    op.create_index(
        "ix_notifier_deliveries_by_target",
        "notifier_deliveries",
        ["target_key", "next_attempt_at", "seq"],
        postgresql_where=_PENDING,
    )
    # A claim changes no column of an index: with room in the page it writes the row alone.
    op.execute("ALTER TABLE notifier_deliveries SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05)")


def downgrade() -> None:
    op.execute("ALTER TABLE notifier_deliveries RESET (fillfactor, autovacuum_vacuum_scale_factor)")
    op.drop_index("ix_notifier_deliveries_by_target", "notifier_deliveries")
    op.drop_index("ix_notifier_deliveries_waiting", "notifier_deliveries")
    op.create_index(
        "ix_notifier_deliveries_waiting",
        "notifier_deliveries",
        ["target_key", "fingerprint", "created_at"],
        postgresql_where=_PENDING,
    )
    op.drop_column("notifier_deliveries", "order_key")
    op.drop_column("notifier_deliveries", "seq")
