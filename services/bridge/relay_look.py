"""The relay's sure path: what REST says of all runs, whoever missed it.

Three sources only say which runs changed: the runs that are active now, the runs that our triggers started and that
have not ended (the promise), and Prefect's stored events behind a cursor with overlap (all runs; some 5 s late, and
some are lost when Prefect is killed). What happened is then read from the run's own list of states.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from datalab.runtime.clock import Clock
from schemas.envelope import Event
from services.bridge import metrics
from services.bridge.prefect_events import Change
from services.bridge.prefect_history import FlowRun, PrefectHistory
from services.bridge.relay_findings import Findings
from services.bridge.relay_outbox import Outbox
from services.bridge.relay_states import model_of

_OVERLAP = timedelta(seconds=30)
# Prefect may store events late when it is busy or was restarted: look back further now and then.
_DEEP_OVERLAP = timedelta(minutes=10)
_DEEP_EVERY_S = 60.0
_ALL_UNFINISHED_EVERY_S = 60.0
_NEWEST = 200
# Longer than any transaction of Prefect, and shorter than the deep overlap by far.
_UNCOMMITTED = timedelta(minutes=1)
# What is younger may still be on its way by the fast path.
_ON_ITS_WAY = timedelta(seconds=3)


class Look:
    """Looks at everything once. Tells `missed` the time of each state that only it found."""

    def __init__(self, history: PrefectHistory, outbox: Outbox, findings: Findings, clock: Clock) -> None:
        self._history, self._outbox, self._findings, self._clock = history, outbox, findings, clock
        self._active: set[str] = set()
        self._meanwhile: Callable[[], Awaitable[None]] = _nothing
        self._deep_at = self._all_at = -1e9

    async def look(
        self,
        heard: Callable[[str], bool],
        missed: Callable[[datetime], None],
        meanwhile: Callable[[], Awaitable[None]],
    ) -> None:
        """Store all that is new. `heard` says of a state whether it came by the fast path. A look may take minutes,
        when there is much to catch up with: `meanwhile` is called again and again."""
        self._meanwhile = meanwhile
        try:
            new = [*await self._follow_runs(), *await self._follow_events()]
        finally:
            self._findings.tell_vanished()
        lately = self._clock.now() - _ON_ITS_WAY
        for event in new:
            if event.time < lately and not heard(event.data["state_id"]):
                metrics.GAPS_REPAIRED.inc()
                missed(event.time)

    async def _follow_runs(self) -> list[Event]:
        """Runs that are active, those that were a moment ago, and those of our triggers that have not ended."""
        active = {run.id: run for run in await self._history.active()}
        complete = self._clock.monotonic() - self._all_at >= _ALL_UNFINISHED_EVERY_S
        unfinished = await self._outbox.unfinished_runs(None if complete else _NEWEST)
        others = (self._active | unfinished.keys()) - active.keys()
        found = await self._history.runs(others)
        runs = {**active, **{run.id: run for run in found}}
        changed = await self._news_among(runs)
        for id_, state in unfinished.items():
            # The trigger may have been noted after its run's states were read.
            if id_ in runs and id_ not in changed and (now := runs[id_].state_type) and now != state:
                await self._findings.note(id_, now)
        await self._findings.vanished(others - {run.id for run in found})
        self._active = set(active)
        if complete:
            self._all_at = self._clock.monotonic()
        return await self._read(runs[run_id] for run_id in changed)

    async def _follow_events(self) -> list[Event]:
        deep = self._clock.monotonic() - self._deep_at >= _DEEP_EVERY_S
        overlap = _DEEP_OVERLAP if deep else _OVERLAP
        since = (await self._outbox.cursor() or self._clock.now()) - overlap
        new: list[Event] = []
        async for page in self._history.events_since(since):
            new += await self._take_changes(page)
            if page:
                # A worker's clock may be ahead; the cursor must not jump over what others report meanwhile.
                await self._outbox.move_cursor(min(max(change.at for change in page), self._clock.now()))
        if deep:
            self._deep_at = self._clock.monotonic()
        return new

    async def _news_among(self, runs: Mapping[str, FlowRun]) -> list[str]:
        """Those of these runs whose present state is news."""
        now = self._clock.now()
        changes = [Change(run.id, run.state_id, run.state_type or "", "", now) for run in runs.values() if run.state_id]
        # A state without an event type is never stored; a new one may hide an earlier state that has one.
        silent = [
            change.run_id
            for change in changes
            if model_of(change.state_type, "") is None and not self._findings.settled(change.state_id)
        ]
        changed = _runs_of(changes, await self._findings.unknown(changes))
        return list(dict.fromkeys([*changed, *silent]))

    async def _take_changes(self, changes: Sequence[Change]) -> list[Event]:
        unknown = await self._findings.unknown(changes)
        changed = _runs_of(changes, unknown)
        runs = {run.id: run for run in await self._history.runs(changed)}
        new = await self._read(runs[run_id] for run_id in changed if run_id in runs)
        # Prefect emits before it commits: what is not there may yet come, and the next looks go over it again.
        old = {c.run_id for c in changes if c.state_id in unknown and self._clock.now() - c.at > _UNCOMMITTED}
        await self._findings.vanished(run_id for run_id in changed if run_id not in runs and run_id in old)
        # Also states of deleted runs: there is nothing more to learn about them.
        self._findings.settle(c.state_id for c in changes if c.state_id not in unknown or c.run_id in old)
        return new

    async def _read(self, runs: Iterable[FlowRun]) -> list[Event]:
        new: list[Event] = []
        for run in runs:
            new += await self._findings.read(run)
            await self._meanwhile()
        return new


def _runs_of(changes: Sequence[Change], state_ids: Container[str]) -> list[str]:
    """The runs of those of these changes, in the order given."""
    return list(dict.fromkeys(change.run_id for change in changes if change.state_id in state_ids))


async def _nothing() -> None:
    """What is done meanwhile, before the first look."""
