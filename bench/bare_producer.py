"""The peer of `bench.ingest`: aiokafka's producer by itself, with the settings of ours and records of the same size.

`python -m bench.bare_producer BOOTSTRAP SECONDS` prints one JSON object: events a second, in batches of 500.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop
from aiokafka import AIOKafkaProducer

from bench.http_load import event
from datalab.bus.publisher import PRODUCER_SETTINGS
from schemas.catalog import key_for
from schemas.codec import decode_attributes, encode

_AT_ONCE = 500
_WINDOW = 4


async def _batch(producer: AIOKafkaProducer, records: list[tuple[bytes, bytes, list[tuple[str, bytes]]]]) -> None:
    sent = [await producer.send("lab.metrics", value=v, key=k, headers=h) for k, v, h in records]
    await asyncio.wait(sent)


async def _send(bootstrap: str, seconds: float) -> dict[str, float]:
    records = []
    for number in range(_AT_ONCE):
        one = decode_attributes(json.loads(event(number)))
        encoded = encode(one)
        records.append((key_for(one).encode(), encoded.value, encoded.headers))
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **PRODUCER_SETTINGS)
    await producer.start()
    sent, begun, cpu_begun = 0, time.perf_counter(), time.process_time()
    try:
        while time.perf_counter() - begun < seconds:
            await asyncio.gather(*(_batch(producer, records) for _ in range(_WINDOW)))
            sent += _WINDOW * _AT_ONCE
    finally:
        await producer.stop()
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - cpu_begun
    return {"events_per_s": sent / seconds, "cpu_us_per_event": cpu_s * 1e6 / sent}


def main() -> None:
    """Send as the command line says."""
    print(json.dumps(uvloop.run(_send(sys.argv[1], float(sys.argv[2])))))


if __name__ == "__main__":
    main()
