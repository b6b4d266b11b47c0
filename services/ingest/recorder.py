"""Storing decisions in the ledger, as many in one transaction as came while the last one ran.

A commit waits for the disk; thousands of files at once must not each wait for one of their own.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from datalab.store.engine import database_is_down
from services.ingest.inspection import Arrived, Refused
from services.ingest.ledger import Ledger, Status
from services.ingest.listing import Found

_AT_ONCE = 500


class _Waiting(NamedTuple):
    file: Found
    verdict: Arrived | Refused
    stored: asyncio.Future[Status]


class Recorder:
    """Joins the decisions of many tasks into few transactions."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: list[_Waiting] = []
        self._storing: asyncio.Task[None] | None = None

    async def record(self, file: Found, verdict: Arrived | Refused) -> Status:
        """Store one decision; returns its status once that is committed, or raises why it could not be."""
        entry = _Waiting(file, verdict, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_all(), name="ledger")
        return await entry.stored

    async def _store_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
                await self._store(batch)
        finally:
            self._storing = None

    async def _store(self, batch: list[_Waiting]) -> None:
        try:
            statuses = await self._ledger.store([(entry.file, entry.verdict) for entry in batch])
        except Exception as error:
            if len(batch) > 1 and not database_is_down(error):
                # One by one, so that a row that cannot be stored spoils no other.
                for entry in batch:
                    await self._store([entry])
                return
            for entry in batch:
                if not entry.stored.done():
                    entry.stored.set_exception(error)
        else:
            for entry, status in zip(batch, statuses, strict=True):
                if not entry.stored.done():
                    entry.stored.set_result(status)
