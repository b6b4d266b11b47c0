"""What a look at Prefect's REST finds, and what it leaves for the next."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import cast

from services.bridge.prefect_events import Change
from services.bridge.prefect_history import FlowRun, PrefectHistory, State
from services.bridge.relay_findings import DELETED, Findings
from services.bridge.relay_look import Look
from services.bridge.relay_outbox import Outbox, RunNews
from tests.support.clocks import START, StandingClock

T0 = START


class Prefect:
    """Runs with their states, and the events that are stored of them."""

    def __init__(self) -> None:
        self.states_of: dict[str, list[State]] = {}
        self.events: list[Change] = []

    async def active(self) -> list[FlowRun]:
        return []

    async def runs(self, ids: Iterable[str]) -> list[FlowRun]:
        known = [id_ for id_ in ids if id_ in self.states_of]
        return [FlowRun(id=id_, name=id_, flow_id="f", state_id=self.states_of[id_][-1].id) for id_ in known]

    async def states(self, run_id: str) -> list[State]:
        return self.states_of[run_id]

    async def events_since(self, since: datetime) -> AsyncIterator[list[Change]]:
        yield [change for change in self.events if change.at >= since]

    async def flow_name(self, run: FlowRun) -> str:
        return "flow"

    async def deployment_name(self, run: FlowRun) -> str | None:
        return None


class Stored:
    """An outbox in memory."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.gone: list[str] = []

    async def known(self, event_ids: Iterable[str]) -> set[str]:
        return set(event_ids) & set(self.ids)

    async def add(self, news: Sequence[RunNews]) -> set[str]:
        new = [event.id for one in news for event in one.events if event.id not in self.ids]
        self.ids += new
        self.gone += [one.run_id for one in news if one.state_type == DELETED]
        return set(new)

    async def cursor(self) -> datetime | None:
        return T0

    async def move_cursor(self, position: datetime) -> None:
        return None

    async def unfinished_runs(self, limit: int | None) -> dict[str, str | None]:
        return {}


class Parts:
    """A look on fakes; `missed` holds the times that only it found."""

    def __init__(self) -> None:
        self.prefect, self.stored, self.clock = Prefect(), Stored(), StandingClock()
        history, outbox = cast("PrefectHistory", self.prefect), cast("Outbox", self.stored)
        self.looking = Look(history, outbox, Findings(history, outbox), self.clock)
        self.missed: list[datetime] = []
        self.heard: set[str] = set()
        self.rests = 0

    def emit(self, run_id: str, *, committed: bool) -> None:
        """Prefect tells that the run was scheduled, now."""
        self.prefect.events.append(Change(run_id, f"s-{run_id}", "SCHEDULED", "Scheduled", self.clock.now()))
        if committed:
            self.commit(run_id)

    def commit(self, run_id: str) -> None:
        state = State(id=f"s-{run_id}", type="SCHEDULED", name="Scheduled", timestamp=self.clock.now())
        self.prefect.states_of[run_id] = [state]

    async def look(self, after_s: float = 0) -> None:
        self.clock.seconds += after_s

        async def meanwhile() -> None:
            self.rests += 1

        await self.looking.look(self.heard.__contains__, self.missed.append, meanwhile)


async def test_what_is_not_committed_yet_is_found_by_a_later_look() -> None:
    parts = Parts()
    parts.emit("r", committed=False)
    await parts.look()
    assert (parts.stored.ids, parts.stored.gone) == ([], [])
    parts.commit("r")
    await parts.look(after_s=20)
    assert len(parts.stored.ids) == 1


async def test_what_is_never_committed_is_noted_as_gone_once() -> None:
    parts = Parts()
    parts.emit("r", committed=False)
    for _ in range(4):
        await parts.look(after_s=40)
    assert (parts.stored.ids, parts.stored.gone) == ([], ["r"])


async def test_only_what_is_old_and_was_not_heard_counts_as_missed() -> None:
    parts = Parts()
    for run_id in ("heard", "unheard"):
        parts.emit(run_id, committed=True)
    parts.heard = {"s-heard"}
    await parts.look(after_s=10)
    assert (len(parts.stored.ids), parts.missed) == (2, [T0])
    parts.emit("young", committed=True)
    await parts.look(after_s=1)
    assert (len(parts.stored.ids), parts.missed) == (3, [T0])


async def test_a_long_look_leaves_time_for_what_is_heard_meanwhile() -> None:
    parts = Parts()
    for number in range(5):
        parts.emit(f"r{number}", committed=True)
    await parts.look()
    assert parts.rests == 5
