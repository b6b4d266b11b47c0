"""What a worker itself costs, told as measurements each half minute: its own process and its zygotes, which have
everything imported. What runs cost they tell themselves, when they end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection

import psutil

from datalab.bus.publisher import Publisher
from schemas.envelope import Event, new_event
from schemas.metrics import SERVICE_CPU, SERVICE_MEMORY, MetricSampled

_EVERY_S, _ANSWER_S = 30.0, 5.0
_SOURCE = "/worker"


async def tell(bootstrap: str, worker: str, pids: Callable[[], Collection[int]], say: Callable[[str], None]) -> None:
    """For ever. `pids` are the zygotes'. A broker that is away costs measurements and nothing else; it is said once."""
    away = False
    async with Publisher(bootstrap, "worker", request_timeout_s=_ANSWER_S, connect_later=True) as publisher:
        while True:
            try:
                await publisher.publish_many(figures(worker, {os.getpid(), *pids()}))
            except Exception as error:  # whatever the client raises: no run must end for want of a measurement
                if not away:
                    say(f"its CPU and memory are not told: {' '.join(str(error).split())}")
                away = True
            else:
                away = False
            await asyncio.sleep(_EVERY_S)


def figures(worker: str, pids: Collection[int]) -> list[Event]:
    """CPU seconds and resident bytes of these processes, those left out that are gone."""
    cpu_s, memory = 0.0, 0
    for pid in pids:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                memory += process.memory_info().rss
        except psutil.Error:
            continue
        cpu_s += times.user + times.system
    samples = ((SERVICE_CPU, cpu_s, "s"), (SERVICE_MEMORY, float(memory), "By"))
    return [
        new_event(MetricSampled(of=worker, name=name, value=value, unit=unit), source=_SOURCE)
        for name, value, unit in samples
    ]


def known_as(name: str, pool: str, kind: str) -> str:
    """The worker's name; where Prefect made one up (its class and a UUID), which would be another with each start, the
    pool's."""
    return pool if name.startswith(f"{kind} ") else name
