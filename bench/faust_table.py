"""The peer of `bench.monitor`: one faust agent with one Table, as faust's own documentation counts things.

`python -m bench.faust_table BOOTSTRAP RECORDS` counts ended runs and their seconds per deployment from the first record
of `lab.runs` on, and prints one JSON object: events a second from the first record handled to the last. No Postgres, no
alerts, nothing that survives: the table is in memory, with faust's changelog topic, which is what makes a Table one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory

import faust


async def count(bootstrap: str, records: int, folder: Path) -> float:
    """Events a second."""
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
    )
    topic = app.topic("lab.runs", key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    table = app.Table("durations", default=list)
    done = asyncio.Event()
    seen = [0, 0.0, 0.0]

    @app.agent(topic)  # type: ignore[untyped-decorator]  # faust is untyped
    async def agent(stream: faust.StreamT[bytes]) -> None:
        async for value in stream:
            seen[1] = seen[1] or time.perf_counter()
            run = json.loads(value)
            if run["state_type"] == "COMPLETED":
                kept = table[run["deployment"]] or [0, 0.0]
                table[run["deployment"]] = [kept[0] + 1, kept[1] + run["duration_s"]]
            seen[0] += 1
            if seen[0] == records:
                seen[2] = time.perf_counter()
                done.set()

    await app.start()
    try:
        await asyncio.wait_for(done.wait(), 280)
    finally:
        await app.stop()
    return records / (seen[2] - seen[1])


def main() -> None:
    """Count as the command line says."""
    with TemporaryDirectory(prefix="datalab-bench-faust-") as folder:
        print(json.dumps({"events_per_s": asyncio.run(count(sys.argv[1], int(sys.argv[2]), Path(folder)))}))


if __name__ == "__main__":
    main()
