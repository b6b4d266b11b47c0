"""What the bridge runs on, and bridges as processes of their own that can be killed."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml
from sqlalchemy.ext.asyncio import AsyncEngine

from datalab.bus.publisher import Publisher
from datalab.store.engine import create_engine
from tests.faults.bridge.gate import Gate
from tests.support.polling import eventually
from tests.support.processes import free_port, service

SESSION_S = 6.0


@dataclass
class Parts:
    """A broker, a database and a Prefect server behind a gate; `folder` keeps rules and the bridges' output."""

    kafka: str
    database: str
    folder: Path
    gate: Gate
    prefect: httpx.AsyncClient
    engine: AsyncEngine
    publisher: Publisher
    group: str = field(default_factory=lambda: f"faults-{uuid.uuid4().hex[:8]}")
    creators: str = ""

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """Prefect's answer, not through the gate. Waits for a server that is just starting."""

        async def answered() -> httpx.Response | None:
            try:
                answer = await self.prefect.request(method, path, json=body)
            except httpx.TransportError:
                return None
            return answer if answer.status_code < 500 else None

        answer = await eventually(answered, until=lambda answer: answer is not None, within_s=120)
        assert answer is not None
        return answer.raise_for_status().json()

    def write_rules(self, rules: Sequence[dict[str, Any]]) -> None:
        """Put these rules, and no other, into force for bridges that start from now on."""
        (self.folder / "rules").mkdir(exist_ok=True)
        (self.folder / "rules" / "rules.yaml").write_text(yaml.safe_dump_all(rules), "utf-8")

    def environ(self) -> dict[str, str]:
        """What a bridge is told."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "DATABASE_URL": self.database,
            "PREFECT_API_URL": self.gate.url,
            "DATALAB_CONFIG_DIR": str(self.folder),
            "DATALAB_HOME": str(self.folder),
            "BRIDGE_PREFECT_CREATORS": self.creators,
            "BRIDGE_GROUP": self.group,
            "BRIDGE_PORT": str(free_port()),
            "BRIDGE_SESSION_S": str(SESSION_S),
            "BRIDGE_DEPLOYMENT_PATIENCE_S": "5",
        }


@asynccontextmanager
async def parts(kafka: str, database: str, prefect_api_url: str, folder: Path) -> AsyncIterator[Parts]:
    """The parts that run at these addresses."""
    async with AsyncExitStack() as stack:
        gate = await stack.enter_async_context(Gate(prefect_api_url).standing())
        client = httpx.AsyncClient(base_url=prefect_api_url, trust_env=False, timeout=120)
        prefect = await stack.enter_async_context(client)
        publisher = await stack.enter_async_context(Publisher(kafka, "faults", request_timeout_s=90))
        engine = create_engine(database)
        stack.push_async_callback(engine.dispose)
        yield Parts(kafka, database, folder, gate, prefect, engine, publisher)


@dataclass(frozen=True)
class _Running:
    process: psutil.Process
    url: str
    stack: AsyncExitStack

    async def is_ready(self) -> bool:
        """Whether it says so."""
        async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
            try:
                return (await http.get(f"{self.url}/readyz")).status_code == 200
            except httpx.TransportError:
                return False


class Bridges:
    """The bridges of one case."""

    def __init__(self, lab: Parts) -> None:
        self._lab = lab
        self._running: list[_Running] = []

    async def start(self) -> None:
        """One more."""
        stack, environ = AsyncExitStack(), self._lab.environ()
        process = stack.enter_context(service("services.bridge", environ, self._lab.folder / "bridges.log"))
        url = f"http://127.0.0.1:{environ['BRIDGE_PORT']}"
        self._running.append(_Running(psutil.Process(process.pid), url, stack))

    async def end(self, number: int = 0, how: signal.Signals = signal.SIGKILL) -> None:
        """End one of them; returns when it has ended."""
        one = self._running.pop(number)
        try:
            one.process.send_signal(how)
            await asyncio.to_thread(one.process.wait, 30)
        except psutil.NoSuchProcess:
            """It has ended by itself, as it does when what it needs is away at its start."""
        finally:
            await one.stack.aclose()

    async def recover(self) -> None:
        """Wait until all are ready. Those that ended by themselves are started again, as a supervisor does."""

        async def ready() -> bool:
            for number, one in enumerate(list(self._running)):
                if not one.process.is_running() or one.process.status() == psutil.STATUS_ZOMBIE:
                    await self.end(number)
                    await self.start()
                    return False
            return all([await one.is_ready() for one in self._running])

        await eventually(ready, within_s=180)

    async def end_all(self) -> None:
        """End what still runs."""
        while self._running:
            await self.end()

    def __len__(self) -> int:
        return len(self._running)


def process_at(address: str) -> int:
    """The id of the process that listens on this address (host:port)."""
    port = int(address.rpartition(":")[2])
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return int(connection.pid)
    raise LookupError(f"nothing listens on port {port}")
