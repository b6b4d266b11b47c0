"""Bringing the events of Prefect servers that run none of Prefect's services to the one that does.

Such a server puts its events on `lab.prefect-events` like any other. The one with the services (what stores events,
runs automations, records task runs) reads the topic as a member of a group and hands on what waits for it: at
least once, so Prefect's cache of ids judges it too.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from prefect.logging import get_logger
from sqlalchemy import make_url

from datalab.bus.consumer import Consumer
from datalab.bus.deadletters import KafkaDeadLetters
from datalab.bus.inspection import topic_names
from datalab.bus.publisher import Publisher, RecordRef
from datalab.bus.retry import RetryPolicy
from schemas.catalog import PREFECT_EVENTS

log = get_logger("kafka")
# Names the Prefect whose services have to take the event; it stands where those of its own server do not.
WAITS_FOR = "prefect_waits_for"
_PREFIX = "prefect_"


class Told(NamedTuple):
    """An event of some server: its JSON, what Prefect calls the message's attributes, and whose services it waits for
    (empty: they have it)."""

    data: bytes
    attributes: dict[str, str]
    waits_for: str


def told(_: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> Told:
    """Read a record as `publisher.as_record` wrote it."""
    named = {name: content.decode("utf-8", "replace") for name, content in headers if name.startswith(_PREFIX)}
    waits_for = named.pop(WAITS_FOR, "")
    return Told(value or b"", {name.removeprefix(_PREFIX): content for name, content in named.items()}, waits_for)


def whose(database_url: str) -> str:
    """A short name of the Prefect with this database, the same for all its servers; nothing of the address is in it."""
    url = make_url(database_url)
    place = [url.host, str(url.port), url.database, str(sorted(url.query.items()))]
    return hashlib.sha256("\x1f".join(map(str, place)).encode()).hexdigest()[:12]


class Gathering:
    """Reads until it is cancelled, whatever becomes of the broker; hands each event that waits for `name` on by
    `deliver`, in order for each resource. `deliver` may wait, and with it the reading."""

    def __init__(self, bootstrap: str, name: str, deliver: Callable[[bytes, dict[str, str]], Awaitable[None]]) -> None:
        self._bootstrap, self._name, self._deliver = bootstrap, name, deliver
        self._retry = RetryPolicy(first_s=1.0, longest_s=10.0)

    async def run(self) -> None:
        """Never returns."""
        attempt = 0
        while True:
            try:
                if PREFECT_EVENTS in await topic_names(self._bootstrap):
                    await self._read()
                reason = f"there is no topic {PREFECT_EVENTS} yet"
            except Exception as error:
                # Whatever it is: Prefect's own events need none of this.
                reason = f"{type(error).__name__}: {error}"[:300]
            attempt += 1
            log.log(30 if attempt == 1 else 10, "Events of other Prefect servers wait: %s", reason)
            await asyncio.sleep(self._retry.delay_s(attempt))

    async def _read(self) -> None:
        async with Publisher(self._bootstrap, "prefect-gathering", connect_later=True) as publisher:
            consumer = Consumer(
                self._bootstrap, f"prefect-{self._name}", [PREFECT_EVENTS], self.take,
                decoder=told, dead_letters=KafkaDeadLetters(publisher), retry=self._retry,
            )  # fmt: skip
            await consumer.run(asyncio.Event())

    async def take(self, event: Told, _: RecordRef) -> None:
        """Hand on what waits for us."""
        if event.waits_for == self._name and "id" in event.attributes:
            await self._deliver(event.data, event.attributes)
