"""Forgetting what no repeat can ask for any more: events that are kept with triggers, and what windows remember of keys
that nothing comes for. Triggers stay, and with them that each event had its run."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from sqlalchemy import and_, delete, func, or_, select, true

from datalab.runtime.logs import get_logger
from datalab.runtime.rounds import Rounds
from datalab.store.engine import Sessions
from datalab.store.tables.bridge import TriggerEventRow, TriggerRow, WindowRow
from services.bridge.rules import Rule
from services.bridge.trigger import Rules
from services.bridge.windows.kinds import FORGETFUL

log = get_logger(__name__)
_EVERY_S = 3600.0
_AT_ONCE = 5000
# Nothing is done with these any more, unless a dead letter is replayed.
_SETTLED = or_(
    TriggerRow.status.in_(("suppressed", "dead")), and_(TriggerRow.status == "created", TriggerRow.run_finished)
)


class Pruning:
    """Prunes what is older than `keep`, which should be as long as any record of the lab can be read again. Several
    instances may at the same time."""

    def __init__(self, sessions: Sessions, rules: Rules, keep: timedelta) -> None:
        self._sessions, self._rules, self._keep = sessions, rules, keep

    async def run(self, stop: asyncio.Event) -> None:
        """Prune now and then until `stop` is set."""
        await Rounds("pruning", _EVERY_S, self.prune).run(stop)

    async def prune(self) -> None:
        """All that may be forgotten by now."""
        events, windows = await self.prune_events(), await self.prune_windows()
        if events or windows:
            log.info("bridge.pruned", events=events, windows=windows)

    async def prune_events(self) -> int:
        """Forget old events of triggers that are settled; returns how many. Those of open windows stay."""
        pruned = 0
        while True:
            old = (
                select(TriggerEventRow.rule, TriggerEventRow.event_id)
                .join(TriggerRow, TriggerRow.id == TriggerEventRow.trigger_id)
                .where(TriggerEventRow.created_at < func.now() - self._keep, _SETTLED)
                .limit(_AT_ONCE)
                .subquery()
            )
            mine = and_(TriggerEventRow.rule == old.c.rule, TriggerEventRow.event_id == old.c.event_id)
            async with self._sessions.begin() as session:
                gone = len((await session.scalars(delete(TriggerEventRow).where(mine).returning(true()))).all())
            pruned += gone
            if gone < _AT_ONCE:
                return pruned

    async def prune_windows(self) -> int:
        """Forget which windows had their run, for keys of which nothing has come for longer than that can matter;
        returns how many. What is open stays, also of rules that are gone."""
        known = {rule.name: _memory(rule, self._keep) for rule in self._rules.book.rules}
        remembering = WindowRow.kind.not_in(FORGETFUL)
        longest = [
            and_(WindowRow.rule == name, WindowRow.updated_at < func.now() - memory) for name, memory in known.items()
        ]
        others = and_(WindowRow.rule.not_in(known), WindowRow.updated_at < func.now() - self._keep)
        statement = delete(WindowRow).where(remembering, or_(others, *longest)).returning(true())
        async with self._sessions.begin() as session:
            return len((await session.scalars(statement)).all())


def _memory(rule: Rule, keep: timedelta) -> timedelta:
    """How long what its windows remember may matter."""
    when = rule.spec.when
    if when.throttle is not None:
        return max(keep, when.throttle.within + when.throttle.lateness)
    return max(keep, when.once.per) if when.once is not None else keep
