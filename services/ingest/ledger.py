"""The ledger of files in Postgres: what was seen and what became of it. The truth over restarts; decides nothing else.

Raises what SQLAlchemy raises; `datalab.store.engine.database_is_down` tells an outage from a fault.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from sqlalchemy import exists, func, select, tuple_
from sqlalchemy.dialects.postgresql import Insert, insert

from datalab.store.engine import Sessions
from datalab.store.tables.ingest import FileRow
from services.ingest.inspection import Arrived
from services.ingest.listing import Found
from services.ingest.settling import Stamp

Status = Literal["pending", "published", "duplicate", "refused"]
_LOOKUP = 1000


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
                version = tuple_(FileRow.path, FileRow.size_bytes, FileRow.mtime_ns)
                rows = await session.execute(
                    select(FileRow.path, FileRow.size_bytes, FileRow.mtime_ns).where(
                        version.in_(keys[start : start + _LOOKUP])
                    )
                )
                known.update(versions[row.path, row.size_bytes, row.mtime_ns] for row in rows)
        return known

    async def add(self, path: str, stamp: Stamp, arrived: Arrived) -> Status:
        """Store an arrival, as pending or, if its event exists already, as a duplicate. Returns the row's status."""
        async with self._sessions.begin() as session:
            repeated = await session.scalar(
                select(exists().where(FileRow.event_id == arrived.event_id, FileRow.status != "refused"))
            )
            status: Status = "duplicate" if repeated else "pending"
            values = {
                "status": status,
                "dataset": arrived.dataset,
                "format": arrived.format,
                "sha256": arrived.sha256,
                "event_id": arrived.event_id,
            }
            await session.execute(_new_row(path, stamp, values))
        return status

    async def refuse(self, path: str, stamp: Stamp, dataset: str | None, reason: str) -> None:
        """Store a refusal with its reason."""
        values = {"status": "refused", "reason": reason, "dataset": dataset and ledger_path(dataset)}
        async with self._sessions.begin() as session:
            await session.execute(_new_row(path, stamp, values))

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


def mark_published(row: FileRow, topic: str, partition: int, offset: int) -> None:
    """Note on a claimed row where its event is."""
    row.status, row.topic, row.partition, row.offset = "published", topic, partition, offset
    row.updated_at = func.now()  # the database's own clock, as for every other time


def mark_refused(row: FileRow, reason: str) -> None:
    """Note on a claimed row that its event cannot be published."""
    row.status, row.reason = "refused", reason
    row.updated_at = func.now()


def _new_row(path: str, stamp: Stamp, values: Mapping[str, str | None]) -> Insert:
    row = insert(FileRow).values(path=ledger_path(path), size_bytes=stamp.size_bytes, mtime_ns=stamp.mtime_ns, **values)
    # Another instance, or we before a crash, may have stored this version already: that row stays.
    return row.on_conflict_do_nothing(index_elements=["path", "size_bytes", "mtime_ns"])
