"""What the relay found out about runs, on its way to the outbox. Both its paths end here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from datalab.runtime.logs import get_logger
from schemas.envelope import Event
from services.bridge import metrics
from services.bridge.prefect_events import Change
from services.bridge.prefect_history import FlowRun, PrefectHistory, State
from services.bridge.relay_outbox import Outbox, RunNews
from services.bridge.relay_states import FINAL, model_of, state_event, state_event_id

log = get_logger(__name__)
_REMEMBERED = 20_000
DELETED = "DELETED"


class Findings:
    """Stores news of runs, and remembers which states need no further look."""

    def __init__(self, history: PrefectHistory, outbox: Outbox) -> None:
        self._history, self._outbox = history, outbox
        self._settled: dict[str, None] = {}  # ids of states, oldest first
        self._vanished: list[str] = []

    def settled(self, state_id: str | None) -> bool:
        """Whether nothing is left to be done about this state."""
        return state_id in self._settled

    def settle(self, state_ids: Iterable[str]) -> None:
        """Note that nothing is left to be done about these states."""
        self._settled.update(dict.fromkeys(state_ids))
        while len(self._settled) > _REMEMBERED:
            del self._settled[next(iter(self._settled))]

    def forget(self) -> None:
        """Another instance leads: what was remembered is old when it is our turn."""
        self._settled.clear()

    async def unknown(self, changes: Iterable[Change]) -> set[str]:
        """The ids of those states that have an event which is not stored yet."""
        told = [
            change
            for change in changes
            if not self.settled(change.state_id) and model_of(change.state_type, change.state_name) is not None
        ]
        if not told:
            return set()
        ids = {change.state_id: state_event_id(change.run_id, change.state_id) for change in told}
        stored = await self._outbox.known(ids.values())
        return {state_id for state_id, id_ in ids.items() if id_ not in stored}

    async def read(self, run: FlowRun) -> list[Event]:
        """Store every state of the run from its own list; returns the events that were new."""
        states = await self._history.states(run.id)
        if not states:
            await self.vanished([run.id])
            return []
        return await self.store([(run, states)])

    async def store(self, told: Sequence[tuple[FlowRun, Sequence[State]]]) -> list[Event]:
        """Store these states of runs, each run's in order; what is stored already stays as it is. Returns the events
        that were new."""
        news = [await self._news(run, states) for run, states in told]
        new = await self._outbox.add(news)
        self.settle(state.id for _, states in told for state in states)
        return [event for item in news for event in item.events if event.id in new]

    async def note(self, run_id: str, state_type: str) -> None:
        """The run's present state is known and told; only its trigger has not heard."""
        await self._outbox.add([RunNews(run_id, state_type, state_type in FINAL, [])])

    async def vanished(self, run_ids: Iterable[str]) -> None:
        """These runs are no longer in Prefect."""
        gone = [RunNews(run_id, DELETED, True, []) for run_id in run_ids]
        if gone:
            metrics.RUNS_VANISHED.inc(len(gone))
            self._vanished += [news.run_id for news in gone]
            await self._outbox.add(gone)

    def tell_vanished(self) -> None:
        """Log, in one line, how many runs vanished since the last call: who deletes a flow deletes thousands."""
        if self._vanished:
            log.warning("runs.vanished", count=len(self._vanished), first=self._vanished[0])
            self._vanished.clear()

    async def _news(self, run: FlowRun, states: Sequence[State]) -> RunNews:
        flow, deployment = await self._history.flow_name(run), await self._history.deployment_name(run)
        events = [event for state in states if (event := state_event(run, state, flow, deployment)) is not None]
        latest = states[-1].type
        return RunNews(run.id, latest, latest in FINAL, events)
