"""Objects of S3 stores in ingest's ledger: their ETag tells versions apart; when one is gone is noted."""

import sqlalchemy as sa
from alembic import op

revision = "0007_ingest_objects"
down_revision = "0006_ingest_api"

_OLD = "uq_ingest_files_path_size_bytes_mtime_ns"
_NEW = "uq_ingest_files_path_size_bytes_mtime_ns_version"


def upgrade() -> None:
    op.add_column("ingest_files", sa.Column("version", sa.String(), server_default="", nullable=False))
    op.add_column("ingest_files", sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint(op.f(_OLD), "ingest_files", type_="unique")
    op.create_unique_constraint(op.f(_NEW), "ingest_files", ["path", "size_bytes", "mtime_ns", "version"])


def downgrade() -> None:
    op.drop_constraint(op.f(_NEW), "ingest_files", type_="unique")
    # Versions that the size and time of change do not tell apart have no place before this.
    op.execute(
        "DELETE FROM ingest_files f USING ingest_files o WHERE f.path = o.path AND f.size_bytes = o.size_bytes "
        "AND f.mtime_ns = o.mtime_ns AND f.id > o.id"
    )
    op.create_unique_constraint(op.f(_OLD), "ingest_files", ["path", "size_bytes", "mtime_ns"])
    op.drop_column("ingest_files", "gone_at")
    op.drop_column("ingest_files", "version")
