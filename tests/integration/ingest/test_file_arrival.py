"""Files in the landing directory, with a real broker and a real ledger."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from datalab.store.engine import create_engine, create_sessions
from schemas.envelope import event_id
from services.ingest.inspection import Arrived
from services.ingest.ledger import Ledger
from services.ingest.listing import Found
from services.ingest.settling import Stamp
from tests.support.polling import eventually

from .conftest import HandClock, StartIngest

ROWS = "symbol,date,close\nAAPL,2013-01-02,542.10\n"
PARQUET = b"PAR1" + bytes(64) + b"PAR1"
NAMES = [
    "two words.csv",
    "dt=2026-03-01.csv",
    "São Paulo.csv",
    "100% #1?.csv",
    "line\nbreak.csv",
    "UPPER.CSV",
    "quote'\".ndjson",
]


def write(directory: Path, name: str, content: str | bytes = ROWS) -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


async def test_a_file_becomes_one_event_with_its_facts(start_ingest: StartIngest, landing: Path) -> None:
    async with start_ingest() as ingest:
        path = write(landing, "stocks/2026/prices.csv")
        ledger = await ingest.settled("stocks/2026/prices.csv")

        ((ref, event),) = await ingest.arrivals()
        row = ledger["stocks/2026/prices.csv"]
        digest = hashlib.sha256(ROWS.encode()).hexdigest()
        assert (row["status"], row["event_id"]) == ("published", event.id)
        assert (row["topic"], row["partition"], row["offset"]) == ref
        assert event.id == event_id(path.as_uri(), digest)
        assert event.data["uri"] == path.as_uri()
        assert (event.data["dataset"], event.data["format"], event.data["size_bytes"]) == ("stocks", "csv", len(ROWS))
        assert event.data["sha256"] == digest
        assert event.subject == "stocks"


async def test_names_of_every_kind_arrive_and_their_uri_leads_back(start_ingest: StartIngest, landing: Path) -> None:
    paths = {
        str(write(landing, f"vendas região/{name}", ROWS if "json" not in name else '{"a": 1}\n')) for name in NAMES
    }
    async with start_ingest() as ingest:
        await ingest.settled(*(f"vendas região/{name}" for name in NAMES))

        events = [event for _, event in await ingest.arrivals()]
        assert {event.data["path"] for event in events} == paths
        assert {unquote(urlsplit(event.data["uri"]).path) for event in events} == paths
        assert {event.data["dataset"] for event in events} == {"vendas região"}


async def test_each_bad_file_is_refused_once_with_a_reason_and_harms_no_other(
    start_ingest: StartIngest, landing: Path, tmp_path: Path
) -> None:
    write(landing, "stocks/empty.csv", "")
    write(landing, "stocks/nul.csv", b"a,b\n1,\x00\x00\n")
    write(landing, "stocks/zipped.csv", gzip.compress(ROWS.encode()))
    write(landing, "stocks/noise.json", bytes(range(128, 256)) * 40)
    write(landing, "stocks/half.parquet", PARQUET[:-2])
    write(landing, "stocks/notes.docx", "text")
    write(landing, "stocks/noextension", "text")
    write(landing, "loose.csv")
    write(landing, "stocks/x.csv/part-0.csv")
    os.mkfifo(landing / "stocks/pipe.csv")
    (landing / "stocks/outside.csv").symlink_to(write(tmp_path, "secret.csv"))
    (landing / "stocks/broken.csv").symlink_to(landing / "stocks/nowhere.csv")
    (landing / "stocks/loop.csv").symlink_to(landing / "stocks/loop.csv")
    write(landing, os.fsdecode(b"stocks/\xff.csv"))
    reasons = {
        "stocks/empty.csv": "empty",
        "stocks/nul.csv": "NUL",
        "stocks/zipped.csv": "gzip",
        "stocks/noise.json": "UTF-8",
        "stocks/half.parquet": "Parquet",
        "stocks/notes.docx": "unknown extension '.docx'",
        "stocks/noextension": "unknown extension ''",
        "loose.csv": "no dataset",
        "stocks/x.csv": "directory",
        "stocks/pipe.csv": "pipe",
        "stocks/outside.csv": "outside",
        "stocks/broken.csv": "link to nothing",
        "stocks/loop.csv": "link to nothing",
        "stocks/\\xff.csv": "not valid UTF-8",
    }
    for ignored in (".hidden.csv", "a.csv.part", "a.csv.tmp", "a_tmp", "_SUCCESS", "_temporary/x.csv", ".git/x.csv"):
        write(landing, f"stocks/{ignored}")
    write(landing, "stocks/good.csv")
    write(landing, "stocks/good.parquet", PARQUET)
    write(landing, "stocks/latin1.csv", "símbolo,preço\nPETR4,10\n".encode("latin-1"))

    async with start_ingest() as ingest:
        ledger = await ingest.settled(*reasons, "stocks/good.csv", "stocks/good.parquet", "stocks/latin1.csv")
        assert {
            name: row["reason"] for name, row in ledger.items() if row["status"] == "refused"
        }.keys() == reasons.keys()
        for name, words in reasons.items():
            assert words in ledger[name]["reason"], name
        arrived = {Path(event.data["path"]).name for _, event in await ingest.arrivals()}
        assert arrived == {"good.csv", "good.parquet", "latin1.csv"}
        await eventually(
            partial(ingest.http.get, "/readyz"), until=lambda answer: bool(answer.json()["status"] == "pass")
        )

    async with start_ingest() as ingest:
        write(landing, "stocks/later.csv", ROWS * 2)
        after = await ingest.settled("stocks/later.csv")
        assert {name: row["id"] for name, row in after.items() if name in ledger} == {
            name: row["id"] for name, row in ledger.items()
        }


async def test_a_refused_file_that_changes_is_looked_at_again(start_ingest: StartIngest, landing: Path) -> None:
    async with start_ingest() as ingest:
        write(landing, "stocks/late.csv", "")
        await ingest.settled("stocks/late.csv")
        write(landing, "stocks/late.csv")

        async def statuses() -> list[str]:
            return [row["status"] for row in await ingest.rows() if row["path"] == str(landing / "stocks/late.csv")]

        await eventually(statuses, until=lambda found: found == ["published", "refused"])
        assert len(await ingest.arrivals()) == 1


async def test_a_file_that_grows_waits_until_it_is_whole(start_ingest: StartIngest, landing: Path) -> None:
    clock = HandClock()
    async with start_ingest(clock=clock, ingest_settle_seconds=0.6) as ingest:
        path = landing / "stocks/growing.csv"
        path.parent.mkdir()
        with path.open("w") as stream:
            for _ in range(10):
                print("AAPL", file=stream, flush=True)
                await asyncio.sleep(0.15)  # several looks at it
                clock.seconds += 0.5
            assert await ingest.arrivals() == []

        async def arrived() -> list[Any]:
            clock.seconds += 0.5
            return await ingest.arrivals()

        ((_, event),) = await eventually(arrived)
        assert event.data["size_bytes"] == path.stat().st_size


async def test_a_file_that_vanishes_leaves_no_trace(start_ingest: StartIngest, landing: Path) -> None:
    write(landing, "stocks/.there")
    async with start_ingest(ingest_settle_seconds=3600) as ingest:  # so that only what is closed is complete
        await eventually(ingest.watches)
        gone = landing / "stocks/gone.csv"
        with gone.open("w") as half:
            print(ROWS, file=half, flush=True)
            await asyncio.sleep(0.15)
            gone.unlink()
        write(landing, "stocks/stays.csv")
        ledger = await ingest.settled("stocks/stays.csv")

        assert set(ledger) == {"stocks/stays.csv"}


async def test_the_same_content_again_is_no_second_event_and_other_content_is(
    start_ingest: StartIngest, landing: Path
) -> None:
    async with start_ingest() as ingest:
        path = write(landing, "stocks/daily.csv")
        await ingest.settled("stocks/daily.csv")
        os.utime(path, ns=(1, 1_000_000_000))
        await eventually(ingest.ledger, until=lambda ledger: ledger["stocks/daily.csv"]["status"] == "duplicate")
        assert len(await ingest.arrivals()) == 1

        write(landing, "stocks/daily.csv", ROWS + "MSFT,2013-01-02,27.62\n")
        await eventually(ingest.arrivals, until=lambda arrivals: len(arrivals) == 2)
        first, second = (event for _, event in await ingest.arrivals())
        assert first.id != second.id


async def test_a_restart_publishes_nothing_again(start_ingest: StartIngest, landing: Path) -> None:
    write(landing, "stocks/before.csv")
    async with start_ingest() as ingest:
        await ingest.settled("stocks/before.csv")
    async with start_ingest() as ingest:
        write(landing, "stocks/after.csv", ROWS * 2)
        await ingest.settled("stocks/after.csv")

        names = sorted(Path(event.data["path"]).name for _, event in await ingest.arrivals())
        assert names == ["after.csv", "before.csv"]


async def test_a_row_left_pending_by_a_crash_is_published_under_its_id(
    start_ingest: StartIngest, landing: Path, database_url: str
) -> None:
    path = write(landing, "stocks/crashed.csv")
    status = path.stat()
    digest = hashlib.sha256(ROWS.encode()).hexdigest()
    identity = event_id(path.as_uri(), digest)
    engine = create_engine(database_url)
    ledger = Ledger(create_sessions(engine))
    stamp = Stamp(status.st_size, status.st_mtime_ns)
    arrived = Arrived("stocks", "csv", digest, identity)
    assert await ledger.store([(Found(str(path), stamp), arrived)]) == ["pending"]
    await engine.dispose()

    async with start_ingest() as ingest:
        await ingest.settled("stocks/crashed.csv")
        ((_, event),) = await ingest.arrivals()
        assert event.id == identity


async def test_kafka_away_keeps_arrivals_in_the_ledger_until_it_is_back(
    start_ingest: StartIngest, landing: Path
) -> None:
    write(landing, "stocks/waiting.csv")
    away = {"kafka_bootstrap_servers": "127.0.0.1:9", "ingest_publish_timeout_seconds": 1}
    async with start_ingest(**away) as ingest:
        ledger = await eventually(ingest.ledger, until=lambda rows: "stocks/waiting.csv" in rows)
        assert ledger["stocks/waiting.csv"]["status"] == "pending"
    async with start_ingest() as ingest:
        await ingest.settled("stocks/waiting.csv")
        assert len(await ingest.arrivals()) == 1


async def test_postgres_away_is_said_and_loses_no_file(
    start_ingest: StartIngest, landing: Path, database_url: str
) -> None:
    write(landing, "stocks/patient.csv")
    nowhere = "postgresql+asyncpg://nobody@127.0.0.1:9/nothing"
    async with start_ingest(database_url=nowhere) as ingest:

        async def unready() -> dict[str, Any]:
            return dict((await ingest.http.get("/readyz")).json().get("checks", {}))

        await eventually(unready, until=lambda checks: {"postgres", "arrivals"} <= checks.keys())
        answer = await ingest.http.get("/v1/files")
        assert answer.status_code == 503
        assert "nobody" not in answer.text
    async with start_ingest() as ingest:
        await ingest.settled("stocks/patient.csv")


async def test_the_ledger_is_listed_in_pages(start_ingest: StartIngest, landing: Path) -> None:
    names = [f"stocks/{number}.csv" for number in range(5)]
    for name in names:
        write(landing, name)
    write(landing, "stocks/bad.xyz")
    async with start_ingest() as ingest:
        await ingest.settled(*names, "stocks/bad.xyz")
        seen: list[int] = []
        parameters: dict[str, Any] = {"page_size": 2}
        while True:
            page = (await ingest.http.get("/v1/files", params=parameters)).json()
            seen += [row["id"] for row in page["files"]]
            if page["next_page_token"] is None:
                break
            parameters["page_token"] = page["next_page_token"]
        assert seen == sorted(set(seen), reverse=True)
        assert seen == [row["id"] for row in await ingest.rows()]
        refused = (await ingest.http.get("/v1/files", params={"status": "refused"})).json()["files"]
        assert {row["status"] for row in refused} == {"refused"}


@pytest.mark.parametrize("parameters", [{"page_size": 0}, {"page_token": "!"}, {"page_token": "é"}, {"status": "x"}])
async def test_a_wrong_parameter_is_named(start_ingest: StartIngest, parameters: dict[str, Any]) -> None:
    async with start_ingest() as ingest:
        answer = await ingest.http.get("/v1/files", params=parameters)
        assert answer.status_code == 422
        assert next(iter(parameters)) in answer.json()["detail"]
