"""Ingest killed in the middle of thousands of files: each is an event, and under one id."""

from __future__ import annotations

import hashlib
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from datalab.bus.reader import read_events
from schemas.envelope import event_id
from tests.support.polling import eventually
from tests.support.processes import free_port, service

FILES = 2_000
KILLS_AT = (100, 700, 1_400)


@pytest.fixture
def environ(kafka_bootstrap: str, database_url: str, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "landing/stocks").mkdir(parents=True)
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "DATABASE_URL": database_url,
        "LANDING_DIR": str(tmp_path / "landing"),
        "INGEST_PORT": str(free_port()),
    }


async def published(environ: dict[str, str]) -> int:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
            text = (await http.get(f"http://127.0.0.1:{environ['INGEST_PORT']}/metrics")).text
    except httpx.HTTPError:
        return 0
    name = "datalab_ingest_files_published_total "
    return next((int(float(line.removeprefix(name))) for line in text.splitlines() if line.startswith(name)), 0)


async def test_each_of_two_thousand_files_has_one_id_however_often_it_is_killed(
    environ: dict[str, str], tmp_path: Path
) -> None:
    # A topic that a session has filled takes long to read; by then the kill would come too late.
    landing, since = tmp_path / "landing/stocks", datetime.now(UTC)
    expected = {}
    for number in range(FILES):
        path, content = landing / f"{number}.csv", f"a\n{number}\n"
        path.write_text(content)
        expected[str(path)] = event_id(path.as_uri(), hashlib.sha256(content.encode()).hexdigest())

    async def on_kafka() -> list[tuple[str, str]]:
        found = [e async for _, e in read_events(environ["KAFKA_BOOTSTRAP_SERVERS"], ["lab.files"], since=since)]
        return [(event.data["path"], event.id) for event in found if event.data["path"] in expected]

    killed_early = 0
    for count in KILLS_AT:
        with service("services.ingest", environ, tmp_path / "ingest.log") as process:
            await eventually(on_kafka, until=lambda found, count=count: len(set(found)) >= count, within_s=120)
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
            killed_early += len(set(await on_kafka())) < FILES
    with service("services.ingest", environ, tmp_path / "ingest.log"):
        found = await eventually(on_kafka, until=lambda all_: len(set(all_)) >= FILES, within_s=120)
        again = await published(environ)

    assert killed_early, "every kill came too late to prove anything"
    assert dict(found) == expected
    assert len(set(found)) == FILES
    # What a kill may repeat is what was being published at that moment, not what was published before.
    assert len(found) - FILES <= 200 * len(KILLS_AT)
    assert again < FILES
