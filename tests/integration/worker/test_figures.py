"""What a worker itself costs is told under its name, and a broker that is away stops no run."""

from __future__ import annotations

from datalab.bus.reader import read_events
from schemas.metrics import SERVICE_CPU, SERVICE_MEMORY
from tests.support.polling import eventually
from tests.support.warm_worker import Pool, Start

HELLO = """
    from prefect import flow

    @flow
    def hello():
        print("hello")
"""


async def test_a_worker_tells_its_cpu_and_memory_with_those_of_its_zygotes(
    pool: Pool, start_worker: Start, kafka_bootstrap: str
) -> None:
    name = f"worker-{pool.name}"
    worker = start_worker(name, KAFKA_BOOTSTRAP_SERVERS=kafka_bootstrap)

    async def told() -> dict[str, float]:
        found = [event async for _, event in read_events(kafka_bootstrap, ["lab.metrics"]) if event.subject == name]
        return {event.data["name"]: event.data["value"] for event in found}

    figures = await eventually(told, until=lambda figures: len(figures) == 2, within_s=60)
    assert worker.process.poll() is None
    assert 0.5 < figures[SERVICE_CPU] < 600
    assert 50e6 < figures[SERVICE_MEMORY] < 4e9


def test_without_a_broker_it_says_so_once_and_runs_all_the_same(pool: Pool, start_worker: Start) -> None:
    pool.deploy("hello", HELLO)
    worker = start_worker("deaf", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert pool.ended(pool.start("hello"))["state"]["type"] == "COMPLETED"
    worker.says("its CPU and memory are not told")
