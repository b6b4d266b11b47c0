"""The service as a process: it starts, stops in order, and survives being killed."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from datalab.bus.reader import read_events
from tests.support.processes import free_port, service, wait_until_ready

FILES = 900


@pytest.fixture
def environ(kafka_bootstrap: str, database_url: str, landing: Path) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "DATABASE_URL": database_url,
        "LANDING_DIR": str(landing),
        "INGEST_PORT": str(free_port()),
        "INGEST_SETTLE_SECONDS": "0.2",
        "INGEST_SCAN_INTERVAL_SECONDS": "0.1",
    }


def ledger(url: str, landing: Path) -> list[dict[str, Any]]:
    answer = httpx.get(f"{url}/v1/files", params={"page_size": 1000}, timeout=10, trust_env=False)
    return [row for row in answer.json()["files"] if row["path"].startswith(f"{landing}/")]


def until_published(url: str, landing: Path, at_least: int, within_s: float = 30) -> int:
    deadline = time.monotonic() + within_s
    while True:
        count = sum(row["status"] == "published" for row in ledger(url, landing))
        if count >= at_least:
            return count
        assert time.monotonic() < deadline, f"{count} of {at_least} files published"
        time.sleep(0.02)


def test_it_stops_in_order_when_told_to(environ: dict[str, str], tmp_path: Path) -> None:
    url, log = f"http://127.0.0.1:{environ['INGEST_PORT']}", tmp_path / "ingest.log"
    with service("services.ingest", environ, log) as process:
        wait_until_ready(url, process, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [lines[0]["event"], lines[-1]["event"]] == ["service.starting", "service.stopped"]
    assert not [line for line in lines if line["level"] == "error"]


def test_without_a_database_address_it_says_what_to_do(environ: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "ingest.log"
    with service("services.ingest", {**environ, "DATABASE_URL": ""}, log) as process:
        assert process.wait(15) != 0
    assert "DATABASE_URL is not set" in log.read_text()


async def test_killed_while_files_arrive_it_publishes_each_of_them_under_one_id(
    environ: dict[str, str], landing: Path, tmp_path: Path
) -> None:
    url, log = f"http://127.0.0.1:{environ['INGEST_PORT']}", tmp_path / "ingest.log"
    (landing / "stocks").mkdir()
    kills = 0
    for wanted in (1, FILES // 2):
        with service("services.ingest", environ, log) as process:
            wait_until_ready(url, process, log)
            if wanted == 1:  # not before: what is there at the start may all be published before it is ready
                for number in range(FILES):
                    (landing / "stocks" / f"{number}.csv").write_text(f"a\n{number}\n")
            kills += until_published(url, landing, wanted) < FILES
            process.kill()
            process.wait()
    with service("services.ingest", environ, log) as process:
        wait_until_ready(url, process, log)
        until_published(url, landing, FILES)
        rows = ledger(url, landing)

    found = [event async for _, event in read_events(environ["KAFKA_BOOTSTRAP_SERVERS"], ["lab.files"])]
    ids = {event.id for event in found if event.data["path"].startswith(f"{landing}/")}
    assert kills, "both kills came too late to prove anything"
    assert len(rows) == FILES
    assert ids == {row["event_id"] for row in rows}
