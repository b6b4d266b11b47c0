"""The hops that stories share: from a file to its run, the tables, an alert with its messages, the scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datalab.local.demo.eventlog import Fits, Seen
from datalab.local.demo.samples import SYMBOLS
from datalab.local.demo.teller import CHANNELS, Teller
from datalab.local.demo.witnesses import delta_rows, until
from schemas.envelope import Event

ETL = "medallion-etl/medallion-etl-daily"


async def file_to_run(teller: Teller, target: Path) -> tuple[Seen, str]:
    """Complete the file; returns its event and the id of its run."""
    path = str(teller.drop(target))
    arrived = await teller.wait("lab.file.arrived.v1", teller.ask.events.first(_arrived(path), teller.ask.patience_s))
    teller.saw(arrived)
    return arrived, await teller.run_of(arrived.event.id, ETL)


async def tables(teller: Teller, arrived: Seen) -> Seen:
    """Each layer's update, its rows counted in the table itself; returns the event of Gold."""
    cause = arrived.event.id
    for layer in ("bronze", "silver", "gold"):
        awaited = teller.ask.events.first(_updated(layer, cause), teller.ask.patience_s)
        seen = await teller.wait(f"lab.dataset.updated.v1 of {layer}", awaited)
        data = seen.event.data
        rows = await delta_rows(data["table"], data["version"])
        teller.hop(f"{layer} updated", "Delta", f"version {data['version']}", f"{rows:,} rows in {data['table']}")
        if layer == "bronze":
            own = await delta_rows(data["table"], data["version"], only=("_event_id", cause))
            teller.claim("rows of this file in Bronze", teller.sample.rows, own)
        if layer == "silver":
            _books(teller, data)
    return seen


async def alert(teller: Teller, arrived: Seen, rule: str, severity: str, *, mentions: str) -> None:
    """The one alert of this rule that the file causes, and its message on each channel."""
    cause = arrived.event.id

    def is_it(event: Event) -> bool:
        return event.correlationid == cause and bool(event.data.get("rule") == rule)

    firing = await teller.event("lab.alert.firing.v1", cause, is_it)
    teller.claim("severity of the alert", severity, firing.event.data["severity"])
    for channel in CHANNELS:
        await teller.message(channel, mentions, f"alert received by {channel}")
    fired = teller.ask.events.all(lambda e: e.type == "lab.alert.firing.v1" and is_it(e))
    teller.claim("alerts fired for it", 1, len(fired))


async def conclude(teller: Teller) -> None:
    """Ask once more at the end: still exactly one run, ended well."""
    if teller.story.missing is not None:
        return
    arrived = teller.ask.events.all(_arrived(teller.story.file))
    teller.claim("events of this file", 1, len({seen.event.id for seen in arrived}))
    runs = await teller.ask.prefect.runs_of(arrived[0].event.id, ETL)
    teller.claim("runs of this file, with their states", ["COMPLETED"], [run["state_type"] for run in runs])


async def scores(teller: Teller, run_id: str) -> list[Seen]:
    """What the champion made of each symbol in this run."""

    async def look() -> list[Seen] | None:
        found = _scores(teller, run_id)
        return found if len(found) >= len(SYMBOLS) else None

    return await teller.wait("a score of each symbol", until(look, teller.ask.patience_s))


def _scores(teller: Teller, run_id: str) -> list[Seen]:
    return teller.ask.events.all(lambda e: e.type.startswith("lab.score.") and e.data.get("run_id") == run_id)


def _books(teller: Teller, data: dict[str, Any]) -> None:
    sample = teller.sample
    expected = (sample.rows, sample.good_rows, sample.broken_rows, sample.repeated_rows)
    names = ("rows_in", "rows_written", "rows_quarantined", "rows_duplicate")
    found = tuple(int(data.get(name, 0)) for name in names)
    teller.claim("input, silver, quarantined, duplicates", expected, found)
    teller.claim("books balance", found[0], sum(found[1:]))


def _arrived(path: str) -> Fits:
    return lambda e: e.type == "lab.file.arrived.v1" and e.data["path"] == path


def _updated(layer: str, cause: str) -> Fits:
    return lambda e: e.type == "lab.dataset.updated.v1" and e.causationid == cause and e.data["layer"] == layer
