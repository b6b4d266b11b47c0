"""Ingest, put together with real Kafka and Postgres; HTTP goes straight into the application."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from datalab.bus.publisher import RecordRef
from datalab.bus.reader import read_events
from datalab.runtime.clock import Clock, SystemClock
from schemas.envelope import Event
from services.ingest.app import build
from services.ingest.settings import IngestSettings
from tests.support.polling import eventually
from tests.support.s3_gateway import Gateway, s3_gateway


@dataclass(frozen=True)
class RunningIngest:
    """One running service and how to look at what it did."""

    http: httpx.AsyncClient
    landing: Path
    bootstrap: str

    async def arrivals(self) -> list[tuple[RecordRef, Event]]:
        """Every file event on Kafka about this landing directory, oldest first per partition."""
        prefix = f"{self.landing}/"
        events = [pair async for pair in read_events(self.bootstrap, ["lab.files"])]
        return [(ref, event) for ref, event in events if event.data["path"].startswith(prefix)]

    async def ledger(self) -> dict[str, dict[str, Any]]:
        """The newest row of each file, by its path below the landing directory."""
        rows = [row for row in await self.rows() if row["path"].startswith(f"{self.landing}/")]
        return {row["path"].removeprefix(f"{self.landing}/"): row for row in reversed(rows)}

    async def rows(self) -> list[dict[str, Any]]:
        """Every row, newest first."""
        answer = await self.http.get("/v1/files", params={"page_size": 1000})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["files"])

    async def watches(self) -> int:
        """How many directories the kernel tells about."""
        line = next(
            line
            for line in (await self.http.get("/metrics")).text.splitlines()
            if line.startswith("datalab_ingest_directories_watched ")
        )
        return int(float(line.split()[1]))

    async def settled(self, *names: str) -> dict[str, dict[str, Any]]:
        """The ledger, once each of these files stands in it and is not pending."""
        return await eventually(
            self.ledger,
            until=lambda ledger: all(name in ledger and ledger[name]["status"] != "pending" for name in names),
        )


class ShiftedClock(SystemClock):
    """The machine's clock, but for a difference that a test sets."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead.total_seconds()


class HandClock(SystemClock):
    """The machine's time of day; seconds pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


StartIngest = Callable[..., AbstractAsyncContextManager[RunningIngest]]


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    directory = tmp_path / "landing"
    directory.mkdir()
    return directory


@pytest.fixture
def start_ingest(kafka_bootstrap: str, database_url: str, landing: Path) -> StartIngest:
    """Starts the service; may be called again in the same test to restart it."""

    @asynccontextmanager
    async def start(clock: Clock | None = None, **changed: Any) -> AsyncIterator[RunningIngest]:
        settings = IngestSettings.model_validate(
            {
                "kafka_bootstrap_servers": kafka_bootstrap,
                "database_url": database_url,
                "landing_dir": landing,
                "ingest_settle_seconds": 0.3,
                "ingest_scan_interval_seconds": 0.1,
                **changed,
            }
        )
        stop = asyncio.Event()
        async with build(settings, clock=clock) as ingest:
            runs = (ingest.arrivals.run, ingest.outbox.run, ingest.objects.run)
            parts = [asyncio.create_task(run(stop)) for run in runs]
            transport = httpx.ASGITransport(ingest.http.app, raise_app_exceptions=False)
            try:
                async with httpx.AsyncClient(transport=transport, base_url="http://ingest", timeout=30) as http:
                    yield RunningIngest(http, landing, settings.kafka_bootstrap_servers)
            finally:
                stop.set()
                await asyncio.gather(*parts)

    return start


@pytest.fixture(scope="package")
def gateway(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with s3_gateway(tmp_path_factory.mktemp("s3"), kafka_bootstrap) as running:
        yield running


@pytest.fixture
def bucket(gateway: Gateway) -> str:
    name = f"landing-{uuid.uuid4().hex[:8]}"
    gateway.client.create_bucket(Bucket=name)
    return name
