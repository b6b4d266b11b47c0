"""The service as a process: it starts, stops in order, and survives being killed."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from datalab.bus.reader import read_events
from tests.support.polling import wait_for
from tests.support.processes import free_port, service, wait_until_ready


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
    """All rows about this landing directory."""
    rows: list[dict[str, Any]] = []
    parameters: dict[str, Any] = {"page_size": 1000}
    while True:
        page = httpx.get(f"{url}/v1/files", params=parameters, timeout=60, trust_env=False).json()
        rows += [row for row in page["files"] if row["path"].startswith(f"{landing}/")]
        if page["next_page_token"] is None:
            return rows
        parameters["page_token"] = page["next_page_token"]


def published(url: str, landing: Path) -> int:
    return sum(row["status"] == "published" for row in ledger(url, landing))


def published_more(url: str, landing: Path, wanted: int) -> bool:
    return published(url, landing) >= wanted


@contextmanager
def files_that_keep_coming(directory: Path) -> Iterator[None]:
    """Two hundred a second until the block ends: whoever is killed in it cannot have done with all of them."""
    ended, begun = threading.Event(), len(list(directory.iterdir()))

    def write() -> None:
        for number in count(begun):
            (directory / f"{number}.csv").write_text(f"a\n{number}\n")
            if ended.wait(0.005):
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def test_it_stops_in_order_when_told_to(environ: dict[str, str], tmp_path: Path) -> None:
    url, log = f"http://127.0.0.1:{environ['INGEST_PORT']}", tmp_path / "ingest.log"
    with service("services.ingest", environ, log) as process:
        wait_until_ready(url, process, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [lines[0]["event"], lines[-1]["event"]] == ["service.starting", "service.stopped"]
    assert not [line for line in lines if line["level"] == "error"]


def test_without_a_database_address_it_says_what_to_do(environ: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "ingest.log"
    with service("services.ingest", {**environ, "DATABASE_URL": ""}, log) as process:
        assert process.wait(120) != 0
    assert "DATABASE_URL is not set" in log.read_text()


async def test_killed_while_files_arrive_it_publishes_each_of_them_under_one_id(
    environ: dict[str, str], landing: Path, tmp_path: Path
) -> None:
    url, log = f"http://127.0.0.1:{environ['INGEST_PORT']}", tmp_path / "ingest.log"
    (landing / "stocks").mkdir()
    for more in (1, 200):
        with service("services.ingest", environ, log) as process:
            wait_until_ready(url, process, log)
            before = published(url, landing)
            with files_that_keep_coming(landing / "stocks"):
                wait_for(partial(published_more, url, landing, before + more), 120, "files published before the kill")
                process.kill()
                process.wait()
    files = len(list((landing / "stocks").iterdir()))
    with service("services.ingest", environ, log) as process:
        wait_until_ready(url, process, log)
        wait_for(partial(published_more, url, landing, files), 120, "all files published")
        rows = ledger(url, landing)

    found = [event async for _, event in read_events(environ["KAFKA_BOOTSTRAP_SERVERS"], ["lab.files"])]
    ids = {event.id for event in found if event.data["path"].startswith(f"{landing}/")}
    assert len(rows) == files
    assert ids == {row["event_id"] for row in rows}
