"""A light sender of events: raw sockets, requests that are ready beforehand, one task a connection.

`python -m bench.http_load PORT CONNECTIONS SECONDS EVENTS_PER_REQUEST` prints one JSON object: events a second, and the
latencies in ms. A client library would cost more processor time than the service that is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from dataclasses import dataclass, field

import uvloop

EVENT_BYTES = 1024
_PATH = b"POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/cloudevents"


@dataclass
class Seen:
    """What all connections saw."""

    until: float
    events: int = 0
    bad: int = 0
    latencies_ms: list[float] = field(default_factory=list)


def event(number: int = 0) -> bytes:
    """One event of 1 KiB as JSON, with a random id."""
    labels = {f"label{n}": "x" * 40 for n in range(12)}
    parts = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "bench",
        "type": "lab.metric.sampled.v1",
        "time": "2026-03-02T01:02:03Z",
        "data": {
            "of": f"t{number % 100:02d}", "name": "rows", "value": number % 1000, "unit": "1",
            "labels": labels,
        },
    }  # fmt: skip
    short = len(json.dumps(parts, separators=(",", ":")))
    labels["rest"] = "x" * (EVENT_BYTES - short - len(',"rest":""'))
    return json.dumps(parts, separators=(",", ":")).encode()


def request(events: int) -> bytes:
    """A whole request with one event, or with a batch."""
    if events == 1:
        body, kind = event(time.perf_counter_ns()), b"+json"
    else:
        body, kind = b"[" + b",".join(event(number) for number in range(events)) + b"]", b"-batch+json"
    return _PATH + kind + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body


async def _connection(port: int, requests: list[bytes], events: int, seen: Seen) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    number = 0
    while (begun := time.perf_counter()) < seen.until:
        writer.write(requests[number % len(requests)])
        number += 1
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        if head.startswith(b"HTTP/1.1 202"):
            seen.events += events
            seen.latencies_ms.append((time.perf_counter() - begun) * 1000)
        else:
            seen.bad += 1
    writer.close()


async def _load(port: int, connections: int, seconds: float, events: int) -> Seen:
    ready = [[request(events) for _ in range(20 if events == 1 else 2)] for _ in range(connections)]
    seen = Seen(time.perf_counter() + seconds)
    await asyncio.gather(*(_connection(port, requests, events, seen) for requests in ready))
    return seen


def main() -> None:
    """Send as the command line says."""
    port, connections, seconds, events = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    begun = time.process_time()
    seen = uvloop.run(_load(port, connections, seconds, events))
    latencies = sorted(seen.latencies_ms)
    print(
        json.dumps(
            {
                "events_per_s": seen.events / seconds,
                "p50_ms": latencies[len(latencies) // 2],
                "p99_ms": latencies[int(len(latencies) * 0.99)],
                "refused": seen.bad,
                "own_cpu_share": (time.process_time() - begun) / seconds,
            }
        )
    )


if __name__ == "__main__":
    main()
