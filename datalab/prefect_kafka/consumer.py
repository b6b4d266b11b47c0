"""What Prefect's services consume with: the memory of their own process, into which the events of servers without
services are brought as soon as the first service of a process asks for events."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from prefect.server.utilities.messaging.memory import Cache, MemoryMessage, Subscription, Topic
from prefect.server.utilities.messaging.memory import Consumer as MemoryConsumer
from prefect.settings import get_current_settings

from datalab.prefect_kafka.gathering import Gathering, whose
from datalab.runtime.settings import LabSettings

EVENTS = "events"
# Prefect drops what finds 10,000 messages waiting for a service.
_MOST_WAITING = 2_000
_LOOK_S = 0.05
_gatherings: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = WeakKeyDictionary()


class Consumer(MemoryConsumer):
    """Prefect's services name a group; what only shows events to who listens now (a websocket) names none."""

    def __init__(
        self, topic: str, subscription: Subscription | None = None, concurrency: int = 2, **options: Any
    ) -> None:
        super().__init__(topic, subscription, concurrency, **options)
        if topic == EVENTS and "group" in options:
            _gather()


def waits_for() -> str:
    """Whose services an event of this process waits for; empty where they run here and have it."""
    return "" if asyncio.get_running_loop() in _gatherings else _our_name()


async def deliver(data: bytes, attributes: dict[str, str]) -> None:
    """Give the services of this process an event of another one, unless they have seen its id of late. Waits while
    they are far behind."""
    topic = Topic.by_name(EVENTS)
    for message in await Cache().without_duplicates("id", [MemoryMessage(data, attributes)]):
        while any(  # noqa: ASYNC110 - Prefect's queues tell nobody that they have room
            reader._queue.qsize() > _MOST_WAITING for reader in topic._subscriptions
        ):
            await asyncio.sleep(_LOOK_S)
        await topic.publish(message)


def _gather() -> None:
    loop = asyncio.get_running_loop()
    if loop not in _gatherings:
        gathering = Gathering(LabSettings().kafka_bootstrap_servers, _our_name(), deliver)
        _gatherings[loop] = loop.create_task(gathering.run())


@cache
def _our_name() -> str:
    url = get_current_settings().server.database.connection_url
    if url is None:  # pragma: no cover - a server always has one
        raise RuntimeError("PREFECT_SERVER_DATABASE_CONNECTION_URL: is empty")
    return whose(url.get_secret_value())
