"""Making the ledger agree with the store about one object. Safe to repeat, and in any order: what the store has now
counts, not what a notice says it had.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from datalab.bus.retry import PermanentError
from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from schemas.envelope import event_id
from services.ingest.content import content_fault
from services.ingest.dataset_file import DatasetFile
from services.ingest.file_event import ObjectPlace, object_path, uri_of
from services.ingest.inspection import Arrived, Refused
from services.ingest.ledger import Ledger
from services.ingest.listing import Found
from services.ingest.metrics import FILES
from services.ingest.placement import dataset_of, ignored, place
from services.ingest.s3.store import ObjectStore, ObjectVersion, ReplacedError, StoreAwayError

log = get_logger(__name__)
# An object that is replaced faster than it can be read is read later.
_READS = 3
_TURNS = 64


class Objects:
    """The objects of one store. `added` is called after each new arrival in the ledger."""

    def __init__(
        self, store: ObjectStore, ledger: Ledger, datasets: DatasetFile, clock: Clock, added: Callable[[], None],
        *, threads: int,
    ) -> None:  # fmt: skip
        self._store, self._ledger, self._datasets, self._clock, self._added = store, ledger, datasets, clock, added
        self._stopping = threading.Event()
        self._turns = [asyncio.Lock() for _ in range(_TURNS)]
        # Its own threads: a large object must not hold those that other parts of the process need.
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="s3")

    def halt(self) -> None:
        """Give up what is being read; whoever asked for it gets a StoreAwayError."""
        self._stopping.set()

    async def close(self) -> None:
        """Give up, and end the threads."""
        self.halt()
        await asyncio.to_thread(self._readers.shutdown, wait=True, cancel_futures=True)

    async def refresh(self, bucket: str, keys: Sequence[str]) -> None:
        """Note what is at the first of these keys that is there, or that nothing is. When it returns, that is stored.

        Raises StoreAwayError, StoreRefusedError, what the ledger raises, and PermanentError for keys that no table
        can hold.
        """
        places = [ObjectPlace(bucket, key) for key in keys if not _left_alone(key)]
        for place_ in places:
            _refuse_unstorable(place_)
        for _ in range(_READS):
            try:
                if await self._note_first(places):
                    return
            except ReplacedError:
                continue
            for place_ in places:
                if await self._ledger.gone(object_path(place_), self._clock.now()):
                    log.info("object.gone", path=object_path(place_))
            return
        raise StoreAwayError(f"s3://{bucket}/{keys[0]} is replaced faster than it can be read")

    async def note_all(self, versions: Sequence[ObjectVersion]) -> None:
        """Note those of some versions from a listing that the ledger does not know. Raises as `refresh`."""
        mine = {object_path(v.place): v for v in versions if not _left_alone(v.place.key)}
        known = await self._ledger.known([Found(path, version.stamp) for path, version in mine.items()])
        for path, version in mine.items():
            if path not in known:
                # Replaced meanwhile: there is a notice of that, or the next listing has it.
                with contextlib.suppress(ReplacedError, PermanentError):
                    _refuse_unstorable(version.place)
                    await self.note(version)

    async def note(self, version: ObjectVersion) -> None:
        """Note one version that is there, unless the ledger knows it. Raises as `refresh`, and ReplacedError."""
        found = Found(object_path(version.place), version.stamp)
        # One after the other for each object: two versions with the same content must not both seem to be the first.
        async with self._turns[hash(found.path) % len(self._turns)]:
            await self._note(version, found)

    async def _note(self, version: ObjectVersion, found: Found) -> None:
        if await self._ledger.known([found]):
            await self._ledger.returned(found)
            return
        verdict = await self._verdict(version)
        (status,) = await self._ledger.store([(found, verdict)])
        FILES.labels(status).inc()
        if isinstance(verdict, Refused):
            log.warning("file.refused", path=found.path, reason=verdict.reason)
        else:
            log.info("file.noticed", path=found.path, event_id=verdict.event_id, status=status)
            self._added()

    async def _note_first(self, places: Sequence[ObjectPlace]) -> bool:
        for place_ in places:
            version = await asyncio.get_running_loop().run_in_executor(self._readers, self._store.look, place_)
            if version is not None:
                await self.note(version)
                return True
        return not places

    async def _verdict(self, version: ObjectVersion) -> Arrived | Refused:
        relative = PurePosixPath(version.place.key.lstrip("/"))
        placement = place(relative, self._datasets.sources)
        if isinstance(placement, str):
            return Refused(placement, dataset_of(relative, self._datasets.sources))
        loop = asyncio.get_running_loop()
        content = await loop.run_in_executor(self._readers, self._store.read, version, self._stopping)
        if content is None:
            raise StoreAwayError("ingest stops")
        fault = content_fault(content.head, content.tail, placement.format)
        if fault:
            return Refused(fault, placement.dataset)
        identity = event_id(uri_of(object_path(version.place)), content.sha256)
        return Arrived(placement.dataset, placement.format, content.sha256, identity)


def _left_alone(key: str) -> bool:
    """Whether it is a marker of a directory, or in or under a name that is hidden or unfinished."""
    return key.endswith("/") or any(ignored(part) for part in PurePosixPath(key.lstrip("/")).parts)


def _refuse_unstorable(place_: ObjectPlace) -> None:
    text = f"{place_.bucket}/{place_.key}"
    try:
        storable = b"\x00" not in text.encode()
    except UnicodeEncodeError:
        storable = False
    if not storable:
        raise PermanentError(f"the key {place_.key!r} of bucket {place_.bucket!r} is no text")
