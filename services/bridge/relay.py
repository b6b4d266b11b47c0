"""States of Prefect runs to `lab.runs`, without gaps and once each.

Three sources only say which runs changed: Prefect's stored events behind a cursor with overlap (all runs; some 5 s
late, and some are lost when Prefect is killed), the runs that are active now (fast), and the runs that our triggers
started and that have not ended (the promise). What happened is then read from the run's own list of states.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from datalab.bus.retry import RetryPolicy, dependency_is_down
from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import database_is_down
from services.bridge import metrics
from services.bridge.prefect_history import Change, FlowRun, PrefectHistory
from services.bridge.prefect_http import PrefectAwayError
from services.bridge.relay_outbox import Outbox, RunNews
from services.bridge.relay_states import FINAL, model_of, state_event, state_event_id

log = get_logger(__name__)
_OVERLAP = timedelta(seconds=30)
# Prefect may store events late when it is busy or was restarted: look back further now and then.
_DEEP_OVERLAP = timedelta(minutes=10)
_DEEP_EVERY_S = 60.0
_ALL_UNFINISHED_EVERY_S = 15.0
_NEWEST = 200
_REMEMBERED = 20_000
_STALL_S = 30.0
DELETED = "DELETED"


class Relay:
    """One of the bridge's instances relays at a time; the others stand by."""

    def __init__(self, history: PrefectHistory, outbox: Outbox, clock: Clock, *, poll_s: float = 1.0) -> None:
        self._history, self._outbox, self._clock, self._poll_s = history, outbox, clock, poll_s
        self._retry = RetryPolicy(first_s=0.5, longest_s=10.0)
        self._seen: dict[str, None] = {}  # ids of states that need no further look; oldest first
        self._active: set[str] = set()
        self._deep_at = self._all_at = -1e9
        self._progressed = clock.monotonic()
        self._trouble = "has not finished a round yet"

    async def check(self) -> str | None:
        """Readiness: None, or why states do not get through."""
        silent = self._clock.monotonic() - self._progressed
        return f"no round for {silent:.0f} s: {self._trouble}" if silent > _STALL_S else None

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop` is set. An outage of Prefect, Kafka or Postgres is waited for."""
        attempt = 0
        while not stop.is_set():
            delay = self._poll_s
            try:
                await self.round()
                attempt = 0
            except Exception as error:
                # Also what we did not foresee: a relay that dies would end the triggers beside it.
                attempt += 1
                delay = self._retry.delay_s(attempt)
                self._note(error, attempt)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), delay)

    async def round(self) -> None:
        """Look once, store and publish all that is new. Does nothing while another instance leads."""
        async with self._outbox.lead() as leading:
            if leading:
                # First what a crash left behind, so that the order within a run holds.
                await self._outbox.publish_pending()
                await self._follow_runs()
                await self._follow_events()
                await self._outbox.publish_pending()
            else:
                self._seen.clear()
        self._progressed = self._clock.monotonic()

    def _note(self, error: Exception, attempt: int) -> None:
        self._trouble = f"{type(error).__name__}: {error}"[:300]
        outage = isinstance(error, PrefectAwayError) or dependency_is_down(error) or database_is_down(error)
        log.warning("relay.retry", attempt=attempt, reason=self._trouble, exc_info=None if outage else error)

    async def _follow_runs(self) -> None:
        """Runs that are active, those that were a moment ago, and those of our triggers that have not ended."""
        active = {run.id: run for run in await self._history.active()}
        complete = self._clock.monotonic() - self._all_at >= _ALL_UNFINISHED_EVERY_S
        unfinished = await self._outbox.unfinished_runs(None if complete else _NEWEST)
        others = (self._active | unfinished.keys()) - active.keys()
        found = await self._history.runs(others)
        runs = {**active, **{run.id: run for run in found}}
        read = await self._take(runs)
        for id_, state in unfinished.items():
            # The trigger may have been noted after its run's states were read.
            if id_ in runs and id_ not in read and (now := runs[id_].state_type) and now != state:
                await self._outbox.add(RunNews(id_, now, now in FINAL, []))
        for run_id in others - {run.id for run in found}:
            await self._vanished(run_id)
        self._active = set(active)
        if complete:
            self._all_at = self._clock.monotonic()

    async def _follow_events(self) -> None:
        deep = self._clock.monotonic() - self._deep_at >= _DEEP_EVERY_S
        overlap = _DEEP_OVERLAP if deep else _OVERLAP
        since = (await self._outbox.cursor() or self._clock.now()) - overlap
        async for page in self._history.events_since(since):
            await self._take_changes(page)
            if page:
                await self._outbox.move_cursor(self._not_ahead(max(change.at for change in page if change.at)))
        if deep:
            self._deep_at = self._clock.monotonic()

    def _not_ahead(self, at: datetime) -> datetime:
        # A worker's clock may be ahead; the cursor must not jump over what others report meanwhile.
        return min(at, self._clock.now())

    async def _take(self, runs: Mapping[str, FlowRun]) -> set[str]:
        """Look at those of these runs whose present state is news; returns their ids."""
        changes = [Change(run.id, run.state_id, run.state_type or "", "") for run in runs.values() if run.state_id]
        # A state without an event type is never stored; a new one may hide an earlier state that has one.
        silent = [c.run_id for c in changes if model_of(c.state_type, "") is None and c.state_id not in self._seen]
        changed = [*await self._changed(changes), *silent]
        for run_id in changed:
            await self._read(runs[run_id])
        return set(changed)

    async def _take_changes(self, changes: list[Change]) -> None:
        changed = await self._changed(changes)
        runs = {run.id: run for run in await self._history.runs(changed)}
        for run_id in changed:
            if run_id in runs:
                await self._read(runs[run_id])
            else:
                await self._vanished(run_id)
        # Also states of deleted runs: there is nothing more to learn about them.
        self._remember(change.state_id for change in changes)

    async def _changed(self, changes: Iterable[Change]) -> list[str]:
        """The runs with a state that is not stored yet, in the order given."""
        told = [c for c in changes if c.state_id not in self._seen and model_of(c.state_type, c.state_name) is not None]
        if not told:
            return []
        ids = {change.state_id: state_event_id(change.run_id, change.state_id) for change in told}
        stored = await self._outbox.known(ids.values())
        return list(dict.fromkeys(change.run_id for change in told if ids[change.state_id] not in stored))

    async def _read(self, run: FlowRun) -> None:
        """Store every state of the run; those that are stored already stay as they are."""
        states = await self._history.states(run.id)
        if not states:
            await self._vanished(run.id)
            return
        flow, deployment = await self._history.flow_name(run), await self._history.deployment_name(run)
        events = [event for state in states if (event := state_event(run, state, flow, deployment)) is not None]
        latest = states[-1].type
        await self._outbox.add(RunNews(run.id, latest, latest in FINAL, events))
        self._remember(state.id for state in states)

    async def _vanished(self, run_id: str) -> None:
        metrics.RUNS_VANISHED.inc()
        log.warning("run.vanished", run_id=run_id)
        await self._outbox.add(RunNews(run_id, DELETED, True, []))

    def _remember(self, state_ids: Iterable[str]) -> None:
        self._seen.update(dict.fromkeys(state_ids))
        while len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
