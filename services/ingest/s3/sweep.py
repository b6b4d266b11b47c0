"""Listing whole buckets now and then: finds what no notice told of, such as what was there before. Slow and sure."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from datalab.runtime.logs import get_logger
from datalab.store.engine import database_is_down
from services.ingest.s3.objects import Objects
from services.ingest.s3.store import ObjectStore, StoreAwayError, StoreRefusedError

log = get_logger(__name__)


class Sweep:
    """The listing of some buckets of one store."""

    def __init__(self, store: ObjectStore, objects: Objects, buckets: Sequence[str], interval_s: float) -> None:
        self._store, self._objects, self._buckets, self._interval_s = store, objects, buckets, interval_s
        self._faults: dict[str, str] = {}

    async def check(self) -> str | None:
        """Readiness: None, or which buckets cannot be listed and why."""
        return "; ".join(self._faults.values()) or None

    async def run(self, stop: asyncio.Event) -> None:
        """List all buckets again and again until `stop` is set. No outage ends it."""
        while not stop.is_set():
            for bucket in self._buckets:
                await self._guarded(bucket, stop)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._interval_s)

    async def _guarded(self, bucket: str, stop: asyncio.Event) -> None:
        try:
            await self._list(bucket, stop)
        except (StoreAwayError, StoreRefusedError) as error:
            self._note(bucket, str(error))
        except Exception as error:
            if not database_is_down(error):
                raise
            self._note(bucket, f"the ledger cannot be used: {type(error).__name__}")
        else:
            self._faults.pop(bucket, None)

    async def _list(self, bucket: str, stop: asyncio.Event) -> None:
        pages = self._store.pages(bucket)
        while not stop.is_set():
            page = await asyncio.to_thread(next, pages, None)
            if page is None:
                return
            await self._objects.note_all(page)

    def _note(self, bucket: str, fault: str) -> None:
        if self._faults.get(bucket) != fault:
            log.warning("bucket.unlistable", bucket=bucket, reason=fault)
        self._faults[bucket] = fault
