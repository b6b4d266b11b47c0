"""Ledger of files: what was seen, and what became of it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from datalab.store.base import Base, now_column


class FileRow(Base):
    """One version of a file, or of an object in an S3 store: the same path with another size, time or `version` (an
    object's ETag; empty for a file) is another row. `gone_at` is when an object was found to be gone.

    `pending` is stored before publishing and becomes `published` after it, so that a crash between the two publishes
    again under the same event id. `duplicate` is content that this path had before; `refused` has a reason.
    """

    __tablename__ = "ingest_files"
    __table_args__ = (
        UniqueConstraint("path", "size_bytes", "mtime_ns", "version"),
        CheckConstraint("status IN ('pending', 'published', 'duplicate', 'refused')", name="status"),
        Index(None, "event_id"),
        Index(None, "status", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    path: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[str] = mapped_column(server_default="")
    dataset: Mapped[str | None]
    format: Mapped[str | None]
    sha256: Mapped[str | None]
    event_id: Mapped[str | None]
    status: Mapped[str]
    reason: Mapped[str | None]
    topic: Mapped[str | None]
    partition: Mapped[int | None]
    offset: Mapped[int | None] = mapped_column(BigInteger)
    first_seen_at: Mapped[datetime] = now_column()
    updated_at: Mapped[datetime] = now_column()
    gone_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
