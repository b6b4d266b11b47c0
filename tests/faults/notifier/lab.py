"""A broker, a database and notifiers that are killed, with a receiver of webhooks that keeps what came."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from datalab.bus.inspection import inspect_bus
from datalab.bus.publisher import Publisher
from datalab.local.layout import LabLayout
from datalab.local.parts.postgres import embedded_url
from datalab.local.state import LabState
from schemas.alerts import AlertFiring
from schemas.envelope import Event, new_event
from tests.faults.notifier.receiver import Alerts, serving
from tests.support.lab_parts import lab_parts
from tests.support.polling import eventually
from tests.support.processes import free_port, wait_until_ready

_GROUP, _ALERTS = "notifier", "lab.alerts"


@dataclass
class FaultLab:
    """Everything that runs, and how to ask it."""

    home: Path
    state: LabState
    settings: dict[str, str]
    publisher: Publisher
    alerts: Alerts

    @contextmanager
    def notifier(self, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
        """One more process of the notifier; killed at the end if it still runs then."""
        env = {**os.environ, **self.settings, **environ}
        self.alerts.process += 1
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "tests.support.killed_notifier"]
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)

    @asynccontextmanager
    async def ready(self, **environ: str) -> AsyncIterator[subprocess.Popen[bytes]]:
        """The same, once it answers that it is ready. Meanwhile the receiver goes on: it is in this process."""
        with self.notifier(**environ) as process:
            await asyncio.to_thread(wait_until_ready, self.url, process, self.log, 60)
            yield process

    @property
    def log(self) -> Path:
        """What all notifiers of this lab have said."""
        return self.home / "notifier.log"

    @property
    def url(self) -> str:
        """Where the notifier answers."""
        return f"http://127.0.0.1:{self.settings['NOTIFIER_PORT']}"

    async def subscribe(self, url: str, types: Sequence[str], **more: str) -> dict[str, Any]:
        """A subscription; the answer that made it."""
        body = {"name": f"hook-{uuid.uuid4().hex[:8]}", "url": url, "event_types": list(types), **more}
        return await self.post("/v1/subscriptions", body, 201)

    async def post(self, path: str, body: Mapping[str, object] | None, status: int = 200) -> dict[str, Any]:
        """Ask the notifier; its answer has to have this status."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=30) as client:
            answer = await client.post(path, json=body)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    async def sql(self, statement: str, *values: object) -> list[Any]:
        """Rows, straight from the database."""
        connection = await asyncpg.connect(self.settings["DATABASE_URL"].replace("+asyncpg", ""))
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def balance(self) -> None:
        """Fail unless every delivery is in a named state, with a reason where one is due."""
        (row,) = await self.sql(
            "SELECT count(*) AS due, count(*) FILTER (WHERE status IN ('delivered', 'pending') OR "
            "(status IN ('suppressed', 'dead') AND reason IS NOT NULL)) AS named FROM notifier_deliveries"
        )
        assert row["due"] == row["named"]

    async def settled(self, within_s: float = 90.0) -> None:
        """Wait until nothing is pending; the books must balance at every look."""

        async def pending() -> int:
            await self.balance()
            rows = await self.sql("SELECT count(*) AS n FROM notifier_deliveries WHERE status = 'pending'")
            return int(rows[0]["n"])

        await eventually(pending, until=lambda left: left == 0, within_s=within_s)

    async def caught_up(self) -> None:
        """Wait until the notifier has read every alert that there is."""

        async def unread() -> int:
            bus = await inspect_bus(self.settings["KAFKA_BOOTSTRAP_SERVERS"])
            lags = [lag.lag for lag in bus.groups if (lag.group, lag.topic) == (_GROUP, _ALERTS)]
            return lags[0] if lags else bus.topics[_ALERTS].records

        await eventually(unread, until=lambda records: records == 0)

    async def publish(self, count: int, **labels: str) -> list[str]:
        """Publish alerts; returns the ids of their events."""
        events = [_alert(number, labels) for number in range(count)]
        await self.publisher.publish_many(events)
        return [event.id for event in events]


@asynccontextmanager
async def fault_lab(home: Path, environ: Mapping[str, str] | None = None) -> AsyncIterator[FaultLab]:
    """An empty lab without a notifier, and a receiver; leases, waits and deadlines are short."""
    async with AsyncExitStack() as stack:
        alerts = Alerts()
        alerts.url = await stack.enter_async_context(serving(alerts))
        parts = lab_parts(home / "lab", ["topics", "migrations"])
        state = await asyncio.to_thread(parts.__enter__)
        stack.push_async_callback(asyncio.to_thread, parts.__exit__, None, None, None)
        kafka = f"127.0.0.1:{state.parts['kafka'].ports['kafka']}"
        publisher = await stack.enter_async_context(Publisher(kafka, "faults", request_timeout_s=60))
        settings = {
            "DATALAB_HOME": str(home),
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "DATABASE_URL": embedded_url(LabLayout.at(home / "lab")),
            "NOTIFIER_PORT": str(free_port()),
            "NOTIFIER_ALLOWED_HOSTS": alerts.url.removeprefix("http://"),
            "NOTIFIER_LEASE_S": "6",
            "NOTIFIER_DEADLINE_S": "3",
            "NOTIFIER_POLL_S": "0.2",
            "NOTIFIER_RETRY_S": "0.3,0.3,0.3,0.3,0.3",
            **(environ or {}),
        }
        yield FaultLab(home, state, settings, publisher, alerts)


def _alert(number: int, labels: Mapping[str, str]) -> Event:
    name = uuid.uuid4().hex
    data = AlertFiring(
        fingerprint=name,
        episode=f"{name}-1",
        rule="quality-gate-failed",
        severity="error",
        summary=f"Quality gate failed for dataset {number}",
        labels={"dataset": f"dataset-{number}", **labels},
        starts_at=datetime.now(UTC),
    )
    return new_event(data, source="faults/monitor")
