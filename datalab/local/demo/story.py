"""The two stories: a good file becomes Gold and a signed webhook; a broken one becomes an alert on four channels."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from datalab.local.demo.eventlog import EventLog, Fits, Seen
from datalab.local.demo.proof import Claim, Hop, Story
from datalab.local.demo.samples import Sample, drop
from datalab.local.demo.witnesses import Inbox, Prefect, delta_rows, until
from schemas.envelope import Event

T = TypeVar("T")
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
DEPLOYMENT = "medallion-etl/medallion-etl-daily"


@dataclass(frozen=True)
class Witnesses:
    """Those who are asked. `patience_s` is how long each hop may take."""

    events: EventLog
    prefect: Prefect
    inbox: Inbox
    patience_s: float


class MissingHopError(Exception):
    """A hop did not come in time. The message says which and where to look."""


class Teller:
    """Tells one story: writes the file, then notes each hop when its system shows it."""

    def __init__(self, title: str, sample: Sample, witnesses: Witnesses, show: Callable[[Hop], None]) -> None:
        self.story = Story(title, file="")
        self._sample, self._ask, self._show = sample, witnesses, show
        self._start = 0.0

    async def tell_good(self, target: Path) -> Story:
        """File → run → Bronze, Silver, Gold → run completed → signed webhook."""
        with self._until_missing():
            arrived, run_id = await self._file_to_run(target)
            await self._tables(arrived)
            completed = await self._event("lab.run.completed.v1", run_id)
            self._claim("run's end names its cause", arrived.event.id, completed.event.causationid)
            await self._message("webhook", run_id, "signed webhook received")
        return self.story

    async def tell_broken(self, target: Path) -> Story:
        """File → run → quality failed → alert → email, Slack, Teams, webhook; the good rows still reach Gold."""
        with self._until_missing():
            arrived, run_id = await self._file_to_run(target)
            failed = await self._event("lab.quality.failed.v1", arrived.event.id)
            self._claim("rows that broke a rule", self._sample.broken_rows, failed.event.data["rows_failed"])
            firing = await self._event("lab.alert.firing.v1", arrived.event.id)
            fingerprint = firing.event.data["fingerprint"]
            self._claim("severity of the alert", "error", firing.event.data["severity"])
            for channel in ("email", "slack", "teams", "webhook"):
                await self._message(channel, target.stem, f"alert received by {channel}")
            await self._tables(arrived)
            await self._event("lab.run.completed.v1", run_id)
            self._claim("alerts fired for it", 1, len(self._ask.events.all(_alert(fingerprint, arrived.event.id))))
        return self.story

    async def _file_to_run(self, target: Path) -> tuple[Seen, str]:
        path = drop(self._sample, target)
        self._start = time.monotonic()
        self.story.file = str(path)
        self._hop(
            "file complete", "landing", path.name, f"{self._sample.rows:,} rows, {len(self._sample.content):,} bytes"
        )
        arrived = await self._wait(
            "lab.file.arrived.v1",
            self._ask.events.first(_arrived(str(path)), self._ask.patience_s),
        )
        self._saw(arrived)
        run = await self._wait("a Prefect run", until(lambda: self._run(arrived.event.id), self._ask.patience_s))
        link = self._ask.prefect.link(run["id"])
        self._hop("run created", "Prefect", run["id"], f"{DEPLOYMENT} “{run['name']}”", link)
        return arrived, run["id"]

    async def _run(self, event_id: str) -> dict[str, Any] | None:
        runs = await self._ask.prefect.runs_of(event_id)
        return runs[0] if runs else None

    async def _tables(self, arrived: Seen) -> None:
        cause = arrived.event.id
        for layer in ("bronze", "silver", "gold"):
            seen = await self._wait(
                f"lab.dataset.updated.v1 of {layer}",
                self._ask.events.first(_updated(layer, cause), self._ask.patience_s),
            )
            data = seen.event.data
            rows = await delta_rows(data["table"], data["version"])
            self._hop(f"{layer} updated", "Delta", f"version {data['version']}", f"{rows:,} rows in {data['table']}")
            if layer == "bronze":
                own = await delta_rows(data["table"], data["version"], only=("_event_id", cause))
                self._claim("rows of this file in Bronze", self._sample.rows, own)
            if layer == "silver":
                self._books(data)

    def _books(self, data: dict[str, Any]) -> None:
        expected = (self._sample.rows, self._sample.good_rows, self._sample.broken_rows, self._sample.repeated_rows)
        names = ("rows_in", "rows_written", "rows_quarantined", "rows_duplicate")
        found = tuple(int(data.get(name, 0)) for name in names)
        self._claim("input, silver, quarantined, duplicates", expected, found)
        self._claim("books balance", found[0], sum(found[1:]))

    async def conclude(self) -> None:
        """Ask once more at the end: still exactly one run, ended well."""
        if self.story.missing is not None:
            return
        arrived = self._ask.events.all(_arrived(self.story.file))
        self._claim("events of this file", 1, len({seen.event.id for seen in arrived}))
        runs = await self._ask.prefect.runs_of(arrived[0].event.id)
        self._claim("runs of this file, with their states", ["COMPLETED"], [run["state_type"] for run in runs])

    async def _event(self, type_: str, about: str) -> Seen:
        """The event of this type that is about this run, or caused (also indirectly) by this event."""

        def fits(event: Event) -> bool:
            return event.type == type_ and about in (event.data.get("run_id"), event.causationid, event.correlationid)

        seen = await self._wait(type_, self._ask.events.first(fits, self._ask.patience_s))
        self._saw(seen)
        return seen

    async def _message(self, channel: str, contains: str, name: str) -> None:
        async def look() -> dict[str, Any] | None:
            found = await self._ask.inbox.messages(channel, contains)
            return found[0] if found else None

        message = await self._wait(f"{channel} message", until(look, self._ask.patience_s))
        self._hop(name, "inbox", message["id"], message["title"], f"{self._ask.inbox.url}/#{message['id']}")
        if channel == "webhook":
            self._claim(f"{name}: signature", "true", message["verified"])

    async def _wait(self, what: str, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except TimeoutError:
            raise MissingHopError(f"{what}: not seen within {self._ask.patience_s:g} s") from None

    @contextmanager
    def _until_missing(self) -> Iterator[None]:
        try:
            yield
        except MissingHopError as error:
            self.story.missing = str(error)

    def _saw(self, seen: Seen) -> None:
        self._hop(seen.event.type, "Kafka", seen.event.id, str(seen.ref))

    def _hop(self, name: str, system: str, id_: str, detail: str = "", link: str | None = None) -> None:
        hop = Hop(name, system, id_, round(time.monotonic() - self._start, 2), detail, link)
        self.story.hops.append(hop)
        self._show(hop)

    def _claim(self, name: str, expected: Any, found: Any) -> None:
        self.story.claims.append(Claim(name, expected, found))


def _arrived(path: str) -> Fits:
    return lambda e: e.type == "lab.file.arrived.v1" and e.data["path"] == path


def _updated(layer: str, cause: str) -> Fits:
    return lambda e: e.type == "lab.dataset.updated.v1" and e.causationid == cause and e.data["layer"] == layer


def _alert(fingerprint: str, correlation: str) -> Fits:
    return lambda e: (
        e.type == "lab.alert.firing.v1" and e.correlationid == correlation and e.data["fingerprint"] == fingerprint
    )
