"""A lab for `bench.notify`: broker and database as processes on one core, the notifier alone on the other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil

from bench.hook_receiver import Arrivals, receiving
from datalab.bus.publisher import Publisher
from datalab.local.layout import LabLayout
from datalab.local.parts.postgres import embedded_url
from tests.support.lab_parts import lab_parts
from tests.support.polling import wait_for

NOTIFIER_CORE, OTHER_CORE = 0, 1
# Without any progress for so long, a measurement ends.
PATIENCE_S = 30.0
PENDING = "SELECT count(*) FROM notifier_deliveries WHERE status = 'pending'"


@dataclass
class NotifyLab:
    """A running notifier with what it needs; everything in it is new."""

    url: str
    process: psutil.Process
    publisher: Publisher
    database: asyncpg.Connection[Any]
    arrivals: Arrivals
    dead_host: str  # nobody listens there
    parts: dict[str, psutil.Process]  # kafka and postgres
    subscriptions: int = 0

    async def subscribe(self, urls: Sequence[str], types: Sequence[Sequence[str]]) -> None:
        """A subscription for each URL, to the types beside it."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=60) as client:
            for url, wanted in zip(urls, types, strict=True):
                self.subscriptions += 1
                body = {"name": f"hook-{self.subscriptions:03d}", "url": url, "event_types": list(wanted)}
                (await client.post("/v1/subscriptions", json=body)).raise_for_status()

    async def count(self, statement: str, *values: object) -> int:
        """One number by SQL."""
        return int(await self.database.fetchval(statement, *values))

    def cpu_s(self) -> dict[str, float]:
        """Processor time until now: of the notifier, of Kafka, of Postgres with all of its processes."""
        postgres = [self.parts["postgres"], *self.parts["postgres"].children()]
        return {
            "notifier": _cpu_s(self.process),
            "kafka": _cpu_s(self.parts["kafka"]),
            "postgres": sum(map(_cpu_s, postgres)),
        }


@asynccontextmanager
async def notify_lab(config: Callable[[str], str] | None = None) -> AsyncIterator[NotifyLab]:
    """An empty lab. The receivers of config/notify.yaml are not configured; `config` writes another one, given the
    receiver's address."""
    os.sched_setaffinity(0, {OTHER_CORE})
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="datalab-bench-")))
        arrivals = await stack.enter_async_context(receiving())
        state = stack.enter_context(lab_parts(home, ["topics", "migrations"]))
        kafka = f"127.0.0.1:{state.parts['kafka'].ports['kafka']}"
        database = embedded_url(LabLayout.at(home))
        publisher = await stack.enter_async_context(Publisher(kafka, "bench"))
        connection = await asyncpg.connect(database.replace("+asyncpg", ""))
        stack.push_async_callback(connection.close)
        dead = f"127.0.2.200:{free_port()}"
        parts = {name: psutil.Process(state.parts[name].pid) for name in ("kafka", "postgres")}
        port = str(free_port())
        settings = {
            "DATALAB_HOME": str(home),
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "DATABASE_URL": database,
            "NOTIFIER_PORT": port,
            "NOTIFIER_ALLOWED_HOSTS": ",".join([dead, *(arrivals.host(number) for number in range(300))]),
        }
        if config is not None:
            (home / "notify.yaml").write_text(config(f"http://{arrivals.host(299)}"), "utf-8")
            settings["DATALAB_CONFIG_DIR"] = str(home)
        process = stack.enter_context(_notifier(settings, f"http://127.0.0.1:{port}", home / "notifier.log"))
        yield NotifyLab(f"http://127.0.0.1:{port}", process, publisher, connection, arrivals, dead, parts)


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def _notifier(settings: Mapping[str, str], url: str, log: Path) -> Iterator[psutil.Process]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with log.open("ab") as stream:
        started = subprocess.Popen(
            [sys.executable, "-m", "services.notifier"], env={**inherited, **settings}, stdout=stream, stderr=stream,
        )  # fmt: skip
    os.sched_setaffinity(started.pid, {NOTIFIER_CORE})  # before it has a second thread
    try:
        wait_for(lambda: _ready(started, url, log), what="the notifier is ready")
        yield psutil.Process(started.pid)
    finally:
        started.terminate()
        started.wait(30)


def _ready(started: subprocess.Popen[bytes], url: str, log: Path) -> bool:
    if started.poll() is not None:
        raise RuntimeError(f"the notifier ended:\n{log.read_text('utf-8')[-3000:]}")
    try:
        return httpx.get(f"{url}/readyz", timeout=2, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
