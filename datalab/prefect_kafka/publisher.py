"""What Prefect's server calls for each message. It never waits for Kafka: an event is handed to the forwarder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from prefect.server.utilities.messaging.memory import Publisher as MemoryPublisher

from datalab.bus.publisher import Publisher as KafkaPublisher
from datalab.prefect_kafka.consumer import EVENTS, waits_for
from datalab.prefect_kafka.forwarder import Forwarder
from datalab.prefect_kafka.gathering import WAITS_FOR
from datalab.runtime.settings import LabSettings
from schemas.codec import EncodedRecord

_forwarders: WeakKeyDictionary[asyncio.AbstractEventLoop, Forwarder] = WeakKeyDictionary()


class Publisher(MemoryPublisher):
    """Delivers within the server, and forwards what is an event."""

    async def publish_data(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """`data` is the event's JSON, `attributes` its id and name."""
        await super().publish_data(data, attributes)
        # Other topics of Prefect's: `actions`, `logs` and those of its workers' channels.
        if self.topic.name == EVENTS:
            _forwarder().offer(as_record(data, attributes, waits_for()))


def as_record(data: bytes, attributes: Mapping[str, str], waits_for: str = "") -> EncodedRecord:
    """The event as it stands on the topic: its JSON as Prefect wrote it, keyed by its resource, so that what happens
    to one run stays in order; id and name as headers, and whose services it waits for."""
    key = json.loads(data).get("resource", {}).get("prefect.resource.id")
    headers = [(f"prefect_{name}", value.encode()) for name, value in attributes.items()]
    headers += [("content-type", b"application/json"), *([(WAITS_FOR, waits_for.encode())] if waits_for else [])]
    return EncodedRecord(key.encode() if key else None, data, headers)


def _forwarder() -> Forwarder:
    """The one of this event loop: Prefect makes a publisher for each message."""
    loop = asyncio.get_running_loop()
    if loop not in _forwarders:
        address = LabSettings().kafka_bootstrap_servers
        _forwarders[loop] = Forwarder(KafkaPublisher(address, "prefect-server", connect_later=True))
    return _forwarders[loop]
