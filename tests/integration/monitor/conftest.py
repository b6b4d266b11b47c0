"""A monitor per module on the session's broker and the module's database, and taps to feed and watch it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from datalab.bus.publisher import Publisher
from datalab.store.engine import Sessions, create_engine, create_sessions
from tests.integration.monitor.parts import Monitor, Taps, monitor
from tests.support.lab_parts import fresh_database


@pytest.fixture(scope="module")
def group() -> str:
    return f"monitor-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("monitor")


@pytest.fixture(scope="module")
def running(home: Path, kafka_bootstrap: str, database_url: str, group: str) -> Iterator[Monitor]:
    with monitor(home, kafka_bootstrap, database_url, group, MONITOR_GAUGES_EVERY_S="0.5") as started:
        yield started


@pytest.fixture
async def taps(kafka_bootstrap: str) -> AsyncIterator[Taps]:
    async with Publisher(kafka_bootstrap, "tests") as publisher:
        yield Taps(kafka_bootstrap, publisher)


@pytest.fixture
def dataset() -> str:
    """A dataset that no other test uses: topics are shared."""
    return f"stocks-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def sessions(database_server: str) -> AsyncIterator[Sessions]:
    """A database that no monitor looks into."""
    engine = create_engine(await asyncio.to_thread(fresh_database, database_server))
    yield create_sessions(engine)
    await engine.dispose()
