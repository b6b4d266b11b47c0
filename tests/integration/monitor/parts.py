"""What the tests of the monitor run against: its own process, and a way to take its database away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from datalab.bus.inspection import inspect_bus
from datalab.bus.publisher import Publisher, RecordRef
from datalab.bus.reader import read_events
from schemas.envelope import Event
from tests.support.polling import eventually
from tests.support.processes import free_port

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Monitor:
    """A running `python -m services.monitor`, or another module that runs it."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.get(f"{self.url}{path}", timeout=10)

    async def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.request(method, f"{self.url}{path}", timeout=10, **more)

    async def limit(self, deployment: str, seconds: float) -> None:
        """Set how long runs of a deployment may take. It must be known, so its first event may have to be handled."""
        path = "/v1/thresholds/flow-duration/max_duration_s"

        async def change() -> httpx.Response:
            overrides = (await self.get(path)).json()["overrides"] | {deployment: seconds}
            return await self.send("PUT", path, json={"overrides": overrides})

        await eventually(change, until=lambda answer: answer.status_code == 200)

    async def ready(self, within_s: float = 90.0) -> None:
        """Wait until /readyz says so."""
        await eventually(self.unready, until=lambda reason: reason is None, within_s=within_s)

    async def caught_up(self, within_s: float = 60.0, topic: str = "") -> None:
        """Wait until it is ready and has handled what the session's topics hold, or this one, which may be much."""
        await self.ready()
        await eventually(lambda: self.lag(topic), until=lambda lag: lag == 0, within_s=within_s)

    async def lag(self, topic: str = "") -> float:
        """Records that wait to be handled, of all topics or one; -1 before it knows."""
        text = (await self.get("/metrics")).text
        lines = [line for line in text.splitlines() if line.startswith("datalab_monitor_lag_records{")]
        lines = [line for line in lines if f'topic="{topic}"' in line or not topic]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines) if lines else -1.0

    async def shows(self, *lines: str) -> None:
        """Wait until /metrics has all these lines."""

        async def missing() -> list[str]:
            text = (await self.get("/metrics")).text
            return [line for line in lines if line not in text]

        await eventually(missing, until=lambda missing: not missing)

    async def unready(self) -> str | None:
        """What /readyz says, None when all is well."""
        assert self.process.poll() is None, f"the monitor ended:\n{self.log.read_text()[-3000:]}"
        try:
            answer = await self.get("/readyz")
        except httpx.TransportError as error:
            return repr(error)
        return None if answer.status_code == 200 else answer.text

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()


@contextmanager
def monitor(
    home: Path, kafka: str, database: str, group: str, *, module: str = "services.monitor", **env: str
) -> Iterator[Monitor]:
    """A monitor with a port and a log of its own; stopped at the end."""
    port = free_port()
    settings = {
        "DATALAB_HOME": str(home),
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "DATABASE_URL": database,
        "MONITOR_PORT": str(port),
        "MONITOR_GROUP": group,
        "DATALAB_CONFIG_DIR": str(ROOT / "config"),
        **env,
    }
    log = home / f"monitor-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=ROOT, env={**os.environ, **settings}, stdout=out, stderr=out
        )
    try:
        yield Monitor(process, f"http://127.0.0.1:{port}", log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Taps:
    """Publishes events, and reads what the monitor made of them."""

    def __init__(self, bootstrap: str, publisher: Publisher) -> None:
        self._bootstrap, self._publisher = bootstrap, publisher

    async def publish(self, *events: Event) -> list[RecordRef]:
        """One after another, so that the order on a partition is the order here."""
        return [await self._publisher.publish(event) for event in events]

    async def alerts(self, **labels: str) -> list[Event]:
        """Every record on lab.alerts with these labels, in order."""
        found = [event async for _, event in read_events(self._bootstrap, ["lab.alerts"])]
        # Other tests put alerts of their own on the topic, which need no labels.
        told = (event for event in found if "labels" in event.data)
        return [event for event in told if labels.items() <= event.data["labels"].items()]

    async def events(self, topic: str, subject: str) -> list[Event]:
        """Every event about a subject, in order."""
        return [event async for _, event in read_events(self._bootstrap, [topic]) if event.subject == subject]

    async def until_handled(self, group: str, topic: str) -> None:
        """Wait until the group has committed all that the topic holds now. Unlike the monitor's own figure of its lag,
        which is as old as its last look, this is what the broker says."""

        async def left() -> list[int]:
            groups = (await inspect_bus(self._bootstrap)).groups
            return [found.lag for found in groups if (found.group, found.topic) == (group, topic)]

        await eventually(left, until=lambda lags: lags == [0])

    async def until_alerts(self, count: int, within_s: float = 60.0, **labels: str) -> list[Event]:
        """Wait for that many, and return all there are then."""
        return await eventually(
            lambda: self.alerts(**labels), until=lambda found: len(found) >= count, within_s=within_s
        )


class DatabaseGate:
    """A socket before the database's own, which can be closed: to the monitor the server goes away and comes back."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._target = f"{parse_qs(urlsplit(database_url).query)['host'][0]}/.s.PGSQL.5432"
        self._path = folder / ".s.PGSQL.5432"
        self.url = f"{database_url.split('?', maxsplit=1)[0]}?host={folder}"
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_unix_server(self._connect, self._path)

    async def close(self) -> None:
        """Cut every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._path.unlink(missing_ok=True)
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_unix_connection(self._target)
        self._writers |= {writer, back_writer}
        with contextlib.suppress(OSError):
            await asyncio.gather(_pump(reader, back_writer), _pump(back_reader, writer))
        self._writers -= {writer, back_writer}


@asynccontextmanager
async def database_gate(database_url: str, folder: Path) -> AsyncIterator[DatabaseGate]:
    gate = DatabaseGate(database_url, folder)
    await gate.open()
    try:
        yield gate
    finally:
        await gate.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def entry(running: Monitor, kind: str, key: str, wanted: str) -> dict[str, Any]:
    """The entry of a list, {} while there is none."""
    found = (await running.get(f"/v1/{kind}")).json()[kind]
    return next((one for one in found if one[key] == wanted), {})
