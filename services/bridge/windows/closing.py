"""Letting time pass over windows: each that is due by the database's clock is looked at, also when no event comes."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import and_, func, or_, select

from datalab.store.engine import Sessions
from datalab.store.tables.bridge import WindowRow
from services.bridge.rules import RuleBook
from services.bridge.windows.store import Windows

_MOST = 100


class Closing:
    """Looks for what is due. Several instances may; the first to lock a key closes its windows. None does before it has
    `caught_up`: what belongs into a window may have waited in Kafka while the clock went on."""

    def __init__(self, sessions: Sessions, windows: Windows, caught_up: Callable[[], bool]) -> None:
        self._sessions, self._windows, self._caught_up = sessions, windows, caught_up

    async def close_due(self, book: RuleBook) -> bool:
        """Close what is over, and dissolve windows of rules that have others now; whether there may be more. Those of
        rules that are gone stay as they are."""
        if not book.rules or not self._caught_up():
            return False
        kinds = {rule.name: rule.spec.when.kind for rule in book.rules}
        due = WindowRow.due_at <= func.clock_timestamp()
        other = or_(*(and_(WindowRow.rule == name, WindowRow.kind != kind) for name, kind in kinds.items()))
        query = select(WindowRow.rule, WindowRow.key).where(WindowRow.rule.in_(kinds), or_(due, other)).limit(_MOST)
        async with self._sessions() as session:
            found = [(rule, key) for rule, key in await session.execute(query)]
        for rule, key in found:
            await self._windows.pass_time(book.by_name[rule], key)
        return len(found) == _MOST
