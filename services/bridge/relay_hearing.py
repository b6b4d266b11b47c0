"""The relay's fast path: what Prefect's events say, as soon as the runs themselves confirm it.

One request for many runs tells their present states. Where that is the last state that was heard, and each heard state
follows one that is known, nothing lies between, and the events alone tell all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import pairwise

from datalab.runtime.clock import Clock
from services.bridge.prefect_events import Change
from services.bridge.prefect_history import FlowRun, PrefectHistory, State
from services.bridge.relay_findings import Findings
from services.bridge.relay_tail import PrefectTail

# A request of many new runs is one transaction, of which the first events come seconds before the commit.
_PATIENCE_S = 15.0
_FIRST_S, _LONGEST_S = 0.1, 1.0
_MOST_AT_ONCE = 200
_REMEMBERED = 20_000


class Verdict(Enum):
    """What the run makes of the changes that were heard of it."""

    CONFIRMED = auto()
    LATER = auto()  # not committed yet, or never
    READ = auto()  # something lies between or after them: only the run's own list tells


def judge(run: FlowRun | None, changes: Sequence[Change], settled: Callable[[str | None], bool]) -> Verdict:
    """Compare the run as Prefect has it with what was heard of it, in order."""
    if run is None:
        return Verdict.LATER
    if run.state_id != changes[-1].state_id:
        before = {change.follows for change in changes} | {change.state_id for change in changes[:-1]}
        return Verdict.LATER if run.state_id in before or settled(run.state_id) else Verdict.READ
    known = changes[0].first or settled(changes[0].follows)
    chained = all(later.follows == earlier.state_id for earlier, later in pairwise(changes))
    return Verdict.CONFIRMED if known and chained else Verdict.READ


@dataclass
class _Heard:
    """Changes of one run that are not settled yet. Times are monotonic seconds."""

    since: float
    due: float
    wait_s: float = _FIRST_S
    changes: list[Change] = field(default_factory=list)


class Hearing:
    """Takes what the tail heard, and stores what is confirmed."""

    def __init__(self, tail: PrefectTail, history: PrefectHistory, findings: Findings, clock: Clock) -> None:
        self._tail, self._history, self._findings, self._clock = tail, history, findings, clock
        self._waiting: dict[str, _Heard] = {}
        self._heard: dict[str, None] = {}  # ids of states, oldest first

    def heard(self, state_id: str) -> bool:
        """Whether this state came by this path, be it settled or not."""
        return state_id in self._heard

    def next_in_s(self, at_most: float) -> float:
        """Seconds until something has to be asked again."""
        due = min((heard.due for heard in self._waiting.values()), default=float("inf"))
        return min(at_most, max(0.0, due - self._clock.monotonic()))

    def forget(self) -> None:
        """Another instance leads."""
        self._tail.take()
        self._waiting.clear()
        self._heard.clear()

    async def hear(self) -> None:
        """One step: never more than a few requests, whatever waits."""
        self._take_in()
        now = self._clock.monotonic()
        due = [run_id for run_id, heard in self._waiting.items() if heard.due <= now][:_MOST_AT_ONCE]
        await self._drop_known(due)
        due = [run_id for run_id in due if run_id in self._waiting]
        if not due:
            return
        runs = {run.id: run for run in await self._history.runs(due)}
        confirmed: list[tuple[FlowRun, list[State]]] = []
        for run_id in due:
            changes, run = self._waiting[run_id].changes, runs.get(run_id)
            verdict = judge(run, changes, self._findings.settled)
            if run is None or verdict is Verdict.LATER:
                self._ask_later(run_id, now)
            elif verdict is Verdict.CONFIRMED:
                confirmed.append((run, [_state(change) for change in changes]))
            else:
                await self._findings.read(run)
                del self._waiting[run_id]
        if confirmed:
            await self._findings.store(confirmed)
            for run, _ in confirmed:
                del self._waiting[run.id]

    def _take_in(self) -> None:
        now = self._clock.monotonic()
        for change in self._tail.take():
            if not self._findings.settled(change.state_id):
                heard = self._waiting.setdefault(change.run_id, _Heard(now, now))
                if all(change.state_id != other.state_id for other in heard.changes):
                    heard.changes.append(change)
                    heard.due = min(heard.due, now)
                self._heard[change.state_id] = None
        while len(self._heard) > _REMEMBERED:
            del self._heard[next(iter(self._heard))]

    async def _drop_known(self, run_ids: Sequence[str]) -> None:
        """Forget what was told already, such as by the instance that led before."""
        changes = [change for run_id in run_ids for change in self._waiting[run_id].changes]
        unknown = await self._findings.unknown(changes)
        for run_id in run_ids:
            heard = self._waiting[run_id]
            if not any(change.state_id in unknown for change in heard.changes):
                self._findings.settle(change.state_id for change in heard.changes)
                del self._waiting[run_id]

    def _ask_later(self, run_id: str, now: float) -> None:
        heard = self._waiting[run_id]
        if now - heard.since > _PATIENCE_S:
            # Rolled back; or else the next look finds it.
            del self._waiting[run_id]
            return
        heard.due, heard.wait_s = now + heard.wait_s, min(_LONGEST_S, heard.wait_s * 2)


def _state(change: Change) -> State:
    return State(
        id=change.state_id,
        type=change.state_type,
        name=change.state_name,
        timestamp=change.at,
        message=change.message,
    )
