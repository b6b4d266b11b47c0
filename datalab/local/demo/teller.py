"""How a story is told: each hop is noted when its system shows it, each claim is judged by what was asked.

What the stories are is in `stories`.
"""

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
from datalab.local.demo.witnesses import Inbox, MLflow, Prefect, until
from schemas.envelope import Event

T = TypeVar("T")
CHANNELS = ("email", "slack", "teams", "webhook")


@dataclass(frozen=True)
class Witnesses:
    """Those who are asked. `patience_s` is how long each hop may take."""

    events: EventLog
    prefect: Prefect
    mlflow: MLflow
    inbox: Inbox
    patience_s: float


class MissingHopError(Exception):
    """A hop did not come in time. The message says which and where to look."""


class Teller:
    """Waits for what a story expects, and writes it down with its time since the file was complete."""

    def __init__(self, sample: Sample, witnesses: Witnesses, show: Callable[[Hop], None]) -> None:
        self.story = Story(sample.title, file="")
        self.sample, self.ask, self._show = sample, witnesses, show
        self._start = 0.0

    def drop(self, target: Path) -> Path:
        """Complete the file; from now on seconds count."""
        path = drop(self.sample, target)
        self._start = time.monotonic()
        self.story.file = str(path)
        size = f"{self.sample.rows:,} rows, {len(self.sample.content):,} bytes"
        self.hop("file complete", "landing", path.name, size)
        return path

    async def event(self, type_: str, about: str, fits: Fits = lambda _: True) -> Seen:
        """The event of this type that is about this run, or caused (also indirectly) by this event."""

        def wanted(event: Event) -> bool:
            return event.type == type_ and about in _about(event) and fits(event)

        seen = await self.wait(type_, self.ask.events.first(wanted, self.ask.patience_s))
        self.saw(seen)
        return seen

    async def run_of(self, event_id: str, deployment: str) -> str:
        """The id of the run of a deployment that an event started."""

        async def look() -> dict[str, Any] | None:
            runs = await self.ask.prefect.runs_of(event_id, deployment)
            return runs[0] if runs else None

        run = await self.wait(f"a Prefect run of {deployment}", until(look, self.ask.patience_s))
        link = self.ask.prefect.link(run["id"])
        self.hop("run created", "Prefect", run["id"], f"{deployment} “{run['name']}”", link)
        return str(run["id"])

    async def message(self, channel: str, contains: str, name: str) -> None:
        """The first message of a channel that mentions this."""

        async def look() -> dict[str, Any] | None:
            found = await self.ask.inbox.messages(channel, contains)
            return found[0] if found else None

        message = await self.wait(f"{channel} message", until(look, self.ask.patience_s))
        self.hop(name, "inbox", message["id"], message["title"], f"{self.ask.inbox.url}/#{message['id']}")
        if channel == "webhook":
            self.claim(f"{name}: signature", "true", message["verified"])

    async def wait(self, what: str, answer: Awaitable[T]) -> T:
        """The answer; raises MissingHopError that names what did not come."""
        try:
            return await answer
        except TimeoutError:
            raise MissingHopError(f"{what}: not seen within {self.ask.patience_s:g} s") from None

    @contextmanager
    def until_missing(self) -> Iterator[None]:
        """Ends the story at the first hop that does not come."""
        try:
            yield
        except MissingHopError as error:
            self.story.missing = str(error)

    def saw(self, seen: Seen, detail: str = "") -> None:
        """Note an event."""
        place = f"{seen.ref}  {detail}".rstrip()
        self.hop(seen.event.type, "Kafka", seen.event.id, place)

    def hop(self, name: str, system: str, id_: str, detail: str = "", link: str | None = None) -> None:
        """Note that a system showed something."""
        hop = Hop(name, system, id_, round(time.monotonic() - self._start, 2), detail, link)
        self.story.hops.append(hop)
        self._show(hop)

    def claim(self, name: str, expected: Any, found: Any) -> None:
        """Note what must be equal."""
        self.story.claims.append(Claim(name, expected, found))


def _about(event: Event) -> tuple[str | None, ...]:
    return event.data.get("run_id"), event.causationid, event.correlationid
