"""Which triggers are not for the turn of their event: those of rules with a limit, with retries, with windows, and of
paused ones. They are put where they wait, which settles them for their event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from datalab.bus.publisher import RecordRef
from schemas.envelope import Event
from services.bridge import metrics
from services.bridge.decisions import Decision, trigger_id
from services.bridge.rules import Rule

Match = tuple[Decision, Event, RecordRef]
PAUSED = "the rule is paused"


class Queue(Protocol):
    """Where triggers wait; see services.bridge.waiting."""

    async def add(self, matches: Sequence[Match], reason: str | None = None) -> list[str]:
        """Keep these; the rules of those that are new."""


class IntoWindows(Protocol):
    """Where events of rules with windows go; see services.bridge.windows.store."""

    async def take(self, matches: Sequence[Match]) -> None:
        """Put these into the windows of their rules."""


class Paused(Protocol):
    """Which rules are paused; see services.bridge.pauses."""

    def of(self, rule: str) -> object | None: ...
    async def count_dead(self, rule: Rule) -> None: ...


class Intake:
    """Takes such triggers in, and calls `added` after that."""

    def __init__(self, queue: Queue, windows: IntoWindows, paused: Paused, added: Callable[[], None]) -> None:
        self._queue, self._windows, self._paused, self._added = queue, windows, paused, added

    def wants(self, decision: Decision) -> bool:
        """What a paused rule cannot start for want of a template that works waits, too. Windows collect their events
        all the same: it is their runs that wait."""
        if decision.rule.windowed:
            return decision.outcome == "matched"
        if self._paused.of(decision.rule.name) is not None:
            return True
        return decision.rule.queued and decision.outcome == "matched"

    async def add(self, matches: Sequence[Match]) -> set[str]:
        """Take these in; returns the ids of the triggers that their events would have by themselves."""
        if not matches:
            return set()
        if into := [match for match in matches if match[0].rule.windowed]:
            await self._windows.take(into)
        for paused in (False, True):
            group = [match for match in matches if not match[0].rule.windowed and self._is_paused(match) == paused]
            if group:
                for rule in await self._queue.add(group, PAUSED if paused else None):
                    metrics.MATCHED.labels(rule).inc()
        self._added()
        return {trigger_id(decision.rule.name, event.id) for decision, event, _ in matches}

    async def count_dead(self, rule: Rule) -> None:
        """After a dead letter of this rule."""
        await self._paused.count_dead(rule)

    def _is_paused(self, match: Match) -> bool:
        return self._paused.of(match[0].rule.name) is not None
