"""What Prefect's services consume with: the memory of their own process. Where there are servers without services,
their events are brought into it as soon as the first service of a process asks for events."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from prefect.server.utilities.messaging.memory import Cache, MemoryMessage, Subscription, Topic
from prefect.server.utilities.messaging.memory import Consumer as MemoryConsumer
from prefect.settings import get_current_settings

from datalab.prefect_kafka.gathering import Gathering, whose
from datalab.prefect_kafka.settings import BrokerSettings

EVENTS = "events"
# Prefect drops what finds 10,000 messages waiting for a service.
_MOST_WAITING = 2_000
_LOOK_S = 0.05
# What brings the others' events, where there are others, by the loop in which services run.
_gatherings: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None] | None] = WeakKeyDictionary()


class Consumer(MemoryConsumer):
    """Prefect's services name a group; what only shows events to who listens now (a websocket) names none."""

    def __init__(
        self, topic: str, subscription: Subscription | None = None, concurrency: int = 2, **options: Any
    ) -> None:
        super().__init__(topic, subscription, concurrency, **options)
        if topic == EVENTS and "group" in options:
            _serve()


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


def _serve() -> None:
    loop = asyncio.get_running_loop()
    if loop not in _gatherings:
        settings = BrokerSettings()
        gathering = Gathering(settings.kafka_bootstrap_servers, _our_name(), deliver)
        # To read the topic costs a server that has no others a hundredth of a core, for nothing.
        _gatherings[loop] = loop.create_task(gathering.run()) if settings.datalab_prefect_creators else None


@cache
def _our_name() -> str:
    url = get_current_settings().server.database.connection_url
    if url is None:  # pragma: no cover - a server always has one
        raise RuntimeError("PREFECT_SERVER_DATABASE_CONNECTION_URL: is empty")
    return whose(url.get_secret_value())
