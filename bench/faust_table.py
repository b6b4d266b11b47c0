"""The peer of `bench.monitor`: one faust agent with one Table, as faust's own documentation counts things.

`python -m bench.faust_table BOOTSTRAP RECORDS WINDOW_S LINGER_S FOLDER` counts ended runs and their seconds per
deployment from the first record of `lab.runs` on, until all are counted or the window is over, and prints one JSON
object: events a second from the first record handled to the last, and the processor time of each. It decodes the JSON
of each record with `json.loads` and looks at no header; no Postgres, no alerts, nothing that survives: the table is in
memory, with faust's changelog topic, which is what makes a Table one. As faust comes (LINGER_S 0), each change of the
table is a request to the broker of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
import uuid
from pathlib import Path

import faust

_BEGIN_S = 30.0


async def count(bootstrap: str, records: int, window_s: float, linger_s: float, folder: Path) -> dict[str, float]:
    """Events a second, and microseconds of processor time for each."""
    app = faust.App(
        f"bench-{uuid.uuid4().hex[:8]}",
        broker=f"kafka://{bootstrap}",
        store="memory://",
        datadir=folder,
        autodiscover=False,
        web_enabled=False,
        topic_partitions=3,  # those of lab.runs: a table has its stream's
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        producer_linger=linger_s,
    )
    topic = app.topic("lab.runs", key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    table = app.Table("durations", default=list)
    begun, done = asyncio.Event(), asyncio.Event()
    seen = [0, 0.0, 0.0]

    @app.agent(topic)  # type: ignore[untyped-decorator]  # faust is untyped
    async def agent(stream: faust.StreamT[bytes]) -> None:
        async for value in stream:
            if not seen[0]:
                seen[1], seen[2] = time.perf_counter(), time.process_time()
                begun.set()
            run = json.loads(value)
            if run["state_type"] == "COMPLETED":
                kept = table[run["deployment"]] or [0, 0.0]
                table[run["deployment"]] = [kept[0] + 1, kept[1] + run["duration_s"]]
            seen[0] += 1
            if seen[0] == records:
                done.set()

    async with asyncio.timeout(_BEGIN_S):
        await app.start()
        await begun.wait()
    with contextlib.suppress(TimeoutError):  # a window's worth of records is as good
        await asyncio.wait_for(done.wait(), window_s)
    return {
        "events_per_s": seen[0] / (time.perf_counter() - seen[1]),
        "cpu_us_per_event": (time.process_time() - seen[2]) * 1e6 / seen[0],
    }


def main() -> None:
    """Count as the command line says."""
    bootstrap, records, window_s, linger_s, folder = sys.argv[1:]
    Path(folder).mkdir(parents=True)
    figures = asyncio.Runner().run(count(bootstrap, int(records), float(window_s), float(linger_s), Path(folder)))
    print(json.dumps(figures), flush=True)
    os._exit(0)  # to stop, faust waits for its streams, and at times for ever; what was asked is told


if __name__ == "__main__":
    main()
