"""Files that are noticed by what the kernel tells: at once, and just as surely when it tells nothing.

Where the time a file must stay the same is an hour, only a notice can have completed it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.ingest import watching
from tests.support.polling import eventually

from .conftest import RunningIngest, StartIngest

NEVER = 3600
MANY = 10_000


def write(path: Path, content: str = "a,b\n1,2\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def move(source: Path, target: Path) -> None:
    source.rename(target)


async def arrived(ingest: RunningIngest, sha256: str) -> bool:
    return sha256 in {event.data["sha256"] for _, event in await ingest.arrivals()}


async def test_renamed_into_place_is_complete(start_ingest: StartIngest, landing: Path) -> None:
    part = write(landing / "stocks/.daily.csv.part")
    async with start_ingest(ingest_settle_seconds=NEVER) as ingest:
        await eventually(ingest.watches)
        move(part, landing / "stocks/daily.csv")
        ledger = await ingest.settled("stocks/daily.csv")

    assert ledger["stocks/daily.csv"]["status"] == "published"


async def test_closed_after_writing_is_complete_and_so_is_each_overwriting(
    start_ingest: StartIngest, landing: Path
) -> None:
    write(landing / "stocks/.there")
    async with start_ingest(ingest_settle_seconds=NEVER) as ingest:
        await eventually(ingest.watches)
        for content in ("one\n", "two\n", "three\n"):
            write(landing / "stocks/daily.csv", content)
            digest = hashlib.sha256(content.encode()).hexdigest()
            await eventually(partial(arrived, ingest, digest))

        assert len({event.id for _, event in await ingest.arrivals()}) == 3


async def test_the_same_size_again_within_a_tick_of_the_clock_is_seen(start_ingest: StartIngest, landing: Path) -> None:
    write(landing / "stocks/.there")
    async with start_ingest(ingest_settle_seconds=NEVER) as ingest:
        await eventually(ingest.watches)
        for number in range(200):
            write(landing / "stocks/daily.csv", f"{number:03}\n")
        await eventually(partial(arrived, ingest, hashlib.sha256(b"199\n").hexdigest()))


async def test_a_link_that_leads_out_is_refused_when_it_is_moved_into_place(
    start_ingest: StartIngest, landing: Path, tmp_path: Path
) -> None:
    (landing / "stocks").mkdir()
    (landing / "stocks/.out.csv").symlink_to(write(tmp_path / "secret.csv"))
    async with start_ingest(ingest_settle_seconds=NEVER) as ingest:
        await eventually(ingest.watches)
        move(landing / "stocks/.out.csv", landing / "stocks/out.csv")
        ledger = await ingest.settled("stocks/out.csv")

        assert "outside" in ledger["stocks/out.csv"]["reason"]
        assert await ingest.arrivals() == []


async def test_hidden_and_unfinished_names_stay_unread_however_they_are_closed(
    start_ingest: StartIngest, landing: Path
) -> None:
    write(landing / "stocks/.there")
    async with start_ingest(ingest_settle_seconds=NEVER) as ingest:
        await eventually(ingest.watches)
        for name in (".a.csv", "a.csv.part", "a_tmp", "_a.csv", "_work/a.csv", "dir.csv/a.csv"):
            write(landing / "stocks" / name)
        write(landing / "stocks/good.csv")
        ledger = await ingest.settled("stocks/good.csv")

        assert set(ledger) - {"stocks/dir.csv"} == {"stocks/good.csv"}


async def test_ten_thousand_at_once_are_one_event_each(start_ingest: StartIngest, landing: Path) -> None:
    directory = write(landing / "burst/.there").parent
    async with start_ingest() as ingest:
        await eventually(ingest.watches)
        for number in range(MANY):
            (directory / f"{number}.csv").write_text(f"a\n{number}\n")
        arrivals = await eventually(ingest.arrivals, until=lambda all_: len(all_) >= MANY, within_s=120)

    assert len(arrivals) == MANY
    assert len({event.id for _, event in arrivals}) == MANY


async def test_without_notices_the_listing_finds_all_and_it_is_said_once(
    start_ingest: StartIngest, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room() -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(watching, "InotifyFD", no_room)
    with capture_logs() as logs:
        async with start_ingest() as ingest:
            write(landing / "stocks/a.csv")
            await ingest.settled("stocks/a.csv")
            await eventually(partial(ingest.http.get, "/readyz"), until=lambda answer: answer.status_code == 200)
    assert [log["reason"] for log in logs if log["event"] == "landing.unwatched"] == [
        "inotify instance limit reached; files are noticed by the listing alone, later"
    ]


async def test_a_landing_directory_that_vanishes_and_returns_is_watched_again(
    start_ingest: StartIngest, landing: Path
) -> None:
    write(landing / "stocks/before.csv")
    async with start_ingest() as ingest:
        await ingest.settled("stocks/before.csv")
        move(landing, landing.with_name("away"))

        async def refused() -> bool:
            return (await ingest.http.get("/readyz")).status_code == 503

        await eventually(refused)
        move(landing.with_name("away"), landing)
        write(landing / "stocks/after.csv", "a\n2\n")
        await ingest.settled("stocks/after.csv")

        names = sorted(event.data["name"] for _, event in await ingest.arrivals())
        assert names == ["after.csv", "before.csv"]
    async with start_ingest(ingest_settle_seconds=NEVER) as ingest:
        await eventually(ingest.watches, until=lambda count: count == 2)
        move(landing, landing.with_name("away"))
        await eventually(ingest.watches, until=lambda count: count == 1)
        move(landing.with_name("away"), landing)
        await eventually(ingest.watches, until=lambda count: count == 2)
        write(landing / "stocks/last.csv", "a\n3\n")
        await ingest.settled("stocks/last.csv")


class _Back:
    """A clock that is put back by an hour when the test says so."""

    def __init__(self) -> None:
        self.back = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) - self.back

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class _Still:
    """A clock that stands where the test puts it."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


async def test_a_file_is_not_read_in_the_very_step_of_the_clock_in_which_it_changed(
    start_ingest: StartIngest, landing: Path
) -> None:
    """In that step it could change once more without showing another time of change."""
    clock, part = _Still(), write(landing / "stocks/.daily.csv.part")
    changed = datetime.fromtimestamp(part.stat().st_mtime, UTC)
    async with start_ingest(clock=clock, ingest_settle_seconds=NEVER) as ingest:
        await eventually(ingest.watches)
        clock.at = changed + timedelta(milliseconds=5)
        move(part, landing / "stocks/daily.csv")
        await asyncio.sleep(0.5)
        assert await ingest.ledger() == {}

        clock.at = changed + timedelta(milliseconds=30)
        await ingest.settled("stocks/daily.csv")


async def test_a_clock_put_back_by_an_hour_costs_no_file(start_ingest: StartIngest, landing: Path) -> None:
    clock = _Back()
    async with start_ingest(clock=clock) as ingest:
        write(landing / "stocks/before.csv", "a\n1\n")
        await ingest.settled("stocks/before.csv")
        clock.back = timedelta(hours=1)
        closed = write(landing / "stocks/closed.csv", "a\n2\n")
        # Written to before the clock was put back, and after: older than what is known, and from the future.
        os.utime(write(landing / "stocks/before.csv", "a\n3\n"), (1, closed.stat().st_mtime - 3600))
        os.utime(write(landing / "stocks/future.csv", "a\n4\n"), (1, closed.stat().st_mtime + 3600))
        await ingest.settled("stocks/closed.csv", "stocks/future.csv")
        arrivals = await eventually(ingest.arrivals, until=lambda all_: len({e.id for _, e in all_}) >= 4)

    latest = {event.data["name"]: event.data["sha256"] for _, event in arrivals}
    assert latest["before.csv"] == hashlib.sha256(b"a\n3\n").hexdigest()
    assert set(latest) == {"before.csv", "closed.csv", "future.csv"}


async def test_a_file_overwritten_while_it_is_hashed_ends_as_its_last_content(
    start_ingest: StartIngest, landing: Path
) -> None:
    """Each event names a content that was there whole; the last one names the last content."""
    path = write(landing / "stocks/large.csv", "0")
    contents = [(f"{number}\n" * 6_000_000)[:12_000_000] for number in range(8)]
    async with start_ingest() as ingest:
        for content in contents:
            await asyncio.to_thread(write, path, content)
        await eventually(partial(arrived, ingest, hashlib.sha256(contents[-1].encode()).hexdigest()))
        arrivals = await ingest.arrivals()

    whole = {hashlib.sha256(content.encode()).hexdigest() for content in ("0", *contents)}
    assert {event.data["sha256"] for _, event in arrivals} <= whole


async def test_patterns_and_times_of_the_datasets_file_apply_without_a_restart(
    start_ingest: StartIngest, landing: Path, tmp_path: Path
) -> None:
    config = write(tmp_path / "config/datasets.yaml", "stocks: {source: {patterns: ['px-*.csv']}}\n")
    async with start_ingest(datalab_config_dir=config.parent) as ingest:
        write(landing / "px-1.csv", "a\n1\n")
        write(landing / "loose.csv", "a\n2\n")
        ledger = await ingest.settled("px-1.csv", "loose.csv")
        assert (ledger["px-1.csv"]["dataset"], ledger["loose.csv"]["status"]) == ("stocks", "refused")

        write(config, "stocks:\n  source: {patterns: 7}\n")

        async def faults() -> str:
            return str((await ingest.http.get("/readyz")).json().get("checks"))

        await eventually(faults, until=lambda said: "datasets.yaml:2: stocks.source.patterns" in said)
        write(landing / "px-2.csv", "a\n3\n")
        assert (await ingest.settled("px-2.csv"))["px-2.csv"]["dataset"] == "stocks"

        write(config, "eventos: {source: {formats: [jsonl], patterns: ['*.log']}}\n")
        await eventually(faults, until=lambda said: "datasets" not in said)
        write(landing / "app.log", '{"a": 1}\n')
        row = (await ingest.settled("app.log"))["app.log"]
        assert (row["dataset"], row["format"], row["status"]) == ("eventos", "jsonl", "published")


async def test_a_dataset_may_ask_for_more_time_than_the_others(
    start_ingest: StartIngest, landing: Path, tmp_path: Path
) -> None:
    config = write(tmp_path / "config/datasets.yaml", f"slow: {{source: {{settle_seconds: {NEVER}}}}}\n")
    slow = write(landing / "slow/a.csv", "a\n1\n")  # there before the start, so nobody was seen closing it
    write(landing / "quick/a.csv", "a\n2\n")
    async with start_ingest(datalab_config_dir=config.parent) as ingest:
        await ingest.settled("quick/a.csv")
        await asyncio.sleep(0.5)
        assert "slow/a.csv" not in await ingest.ledger()

        write(config, "slow: {source: {settle_seconds: 0}}\n")
        os.utime(slow)
        await ingest.settled("slow/a.csv")
