"""The ledger of files in Postgres: what was seen and what became of it. The truth over restarts; decides nothing else.

Raises what SQLAlchemy raises; `datalab.store.engine.database_is_down` tells an outage from a fault.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from datalab.store.engine import Sessions
from datalab.store.tables.ingest import FileRow
from services.ingest.inspection import Arrived, Refused
from services.ingest.listing import Found

Status = Literal["pending", "published", "duplicate", "refused"]
_LOOKUP = 1000
_VERSION = (FileRow.path, FileRow.size_bytes, FileRow.mtime_ns, FileRow.version)


def ledger_path(path: str) -> str:
    """The path as Postgres can hold it: bytes that are not UTF-8 are written as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class Ledger:
    """Rows of `ingest_files`. Each method is one transaction, and safe to repeat."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def known(self, files: Sequence[Found]) -> set[str]:
        """Those paths whose version, as listed, has a row already."""
        versions = {(ledger_path(file.path), *file.stamp): file.path for file in files}
        keys = list(versions)
        known: set[str] = set()
        async with self._sessions() as session:
            for start in range(0, len(keys), _LOOKUP):
                block = tuple_(*_VERSION).in_(keys[start : start + _LOOKUP])
                rows = await session.execute(select(*_VERSION).where(block))
                known.update(versions[row.path, row.size_bytes, row.mtime_ns, row.version] for row in rows)
        return known

    async def store(self, decided: Sequence[tuple[Found, Arrived | Refused]]) -> list[Status]:
        """Store what was decided about files, all or none. Returns each row's status, in the order given.

        An arrival is pending, or a duplicate if its event exists already. A path may stand here once only.
        """
        ids = [verdict.event_id for _, verdict in decided if isinstance(verdict, Arrived)]
        async with self._sessions.begin() as session:
            repeated = set(
                await session.scalars(
                    select(FileRow.event_id).where(FileRow.event_id.in_(ids), FileRow.status != "refused")
                )
            )
            rows = [_row(file, verdict, repeated) for file, verdict in decided]
            # Another instance, or we before a crash, may have stored a version already: that row stays.
            await session.execute(insert(FileRow).values(rows).on_conflict_do_nothing(index_elements=_VERSION))
        return [row["status"] for row in rows]

    async def gone(self, path: str, at: datetime) -> bool:
        """Note that nothing is at this path any more; returns whether something was known to be."""
        here = update(FileRow).where(FileRow.path == ledger_path(path), FileRow.gone_at.is_(None))
        async with self._sessions.begin() as session:
            noted = await session.execute(here.values(gone_at=at, updated_at=at).returning(FileRow.id))
            return noted.first() is not None

    async def returned(self, file: Found) -> None:
        """Note that a version which was gone is there again."""
        version = tuple_(*_VERSION) == (ledger_path(file.path), *file.stamp)
        async with self._sessions.begin() as session:
            await session.execute(update(FileRow).where(version, FileRow.gone_at.is_not(None)).values(gone_at=None))

    @asynccontextmanager
    async def claim_pending(self, limit: int) -> AsyncIterator[list[FileRow]]:
        """The oldest pending rows, ours alone until the block ends; changes to them are stored then.

        Rows that another instance holds are left out. A crash within the block leaves them pending.
        """
        async with self._sessions.begin() as session:
            query = select(FileRow).where(FileRow.status == "pending").order_by(FileRow.id).limit(limit)
            yield list(await session.scalars(query.with_for_update(skip_locked=True)))

    async def page(self, size: int, before: int | None, status: Status | None) -> list[FileRow]:
        """Up to `size` rows, newest first, with ids below `before`."""
        query = select(FileRow).order_by(FileRow.id.desc()).limit(size)
        if before is not None:
            query = query.where(FileRow.id < before)
        if status is not None:
            query = query.where(FileRow.status == status)
        async with self._sessions() as session:
            return list(await session.scalars(query))


def mark_published(row: FileRow, topic: str, partition: int, offset: int, at: datetime) -> None:
    """Note on a claimed row where its event is."""
    row.status, row.topic, row.partition, row.offset, row.updated_at = "published", topic, partition, offset, at


def mark_refused(row: FileRow, reason: str, at: datetime) -> None:
    """Note on a claimed row that its event cannot be published."""
    row.status, row.reason, row.updated_at = "refused", reason, at


def _row(file: Found, verdict: Arrived | Refused, repeated: Collection[str | None]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "path": ledger_path(file.path),
        "size_bytes": file.stamp.size_bytes,
        "mtime_ns": file.stamp.mtime_ns,
        "version": file.stamp.version,
        "dataset": verdict.dataset and ledger_path(verdict.dataset),
        "format": None,
        "sha256": None,
        "event_id": None,
        "status": "refused",
        "reason": None,
    }
    if isinstance(verdict, Refused):
        return {**row, "reason": verdict.reason}
    status: Status = "duplicate" if verdict.event_id in repeated else "pending"
    facts = {"format": verdict.format, "sha256": verdict.sha256, "event_id": verdict.event_id}
    return {**row, **facts, "status": status}
