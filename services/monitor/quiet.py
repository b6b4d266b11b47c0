"""Events that show only that something is well, which is nearly all of them: remembered in one statement, with nothing
asked about them. What is about a trouble, now or in the same batch, is left to be decided.

That it was well has to be remembered, lest a latecomer raise the alert of a trouble that is over. The statement locks
the rows that it changes, so that whoever decides on the same trouble comes before or after, never beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, CompoundSelect, Select, any_, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor import ConditionRow, EpisodeRow
from services.monitor.bulk import as_arrays, rows_of
from services.monitor.concerns import Concerns, Marked, Pair
from services.monitor.identity import fingerprint_of
from services.monitor.troubles import lock, with_troubles

_GIVEN = ("fingerprint", "rule", "last_good_at")
_TABLE = ConditionRow.metadata.tables[ConditionRow.__tablename__]


class Divided(NamedTuple):
    """The pairs that are to be decided, in their order, and by rule how many only said that all is well."""

    to_decide: list[Pair]
    well: dict[str, int]


async def divide(session: AsyncSession, concerns: Concerns) -> Divided:
    """Remember what is well; what is about a trouble is left to be decided."""
    ends = await _awaited(session, concerns.ends)
    loud = {*concerns.bad, *(print_ for print_, _ in ends)}
    if loud and concerns.well:
        # What is decided about is locked later; in two goes, two instances could each wait for the other.
        await lock(session, {*loud, *concerns.well})
    if concerns.well:
        loud |= await _in_trouble(session, await _remember(session, concerns.well))
    counts: dict[str, int] = {}
    to_decide = []
    for print_, pair in (*concerns.marked, *ends):
        if print_ in loud:
            to_decide.append(pair)
        else:
            counts[pair[0].name] = counts.get(pair[0].name, 0) + 1
    return Divided(to_decide, counts)


async def _awaited(session: AsyncSession, ends: Iterable[Pair]) -> list[Marked]:
    """Those of the ends that are about an alert that fires or an event that is held back."""
    troubled = await with_troubles(session, {rule.name for rule, _ in ends})
    marked = [(fingerprint_of(rule, o.event), (rule, o)) for rule, o in ends if rule.name in troubled]
    return [(print_, pair) for print_, pair in marked if print_ in troubled[pair[0].name]]


async def _remember(session: AsyncSession, well: Mapping[str, tuple[str, datetime]]) -> list[str]:
    """Store the times; returns the fingerprints of those that were in trouble once, and may be now."""
    # Sorted, so that two instances lock them in the same order.
    rows = [dict(zip(_GIVEN, (print_, *well[print_]), strict=True)) for print_ in sorted(well)]
    return list((await session.execute(_stored(), as_arrays(_GIVEN, rows))).scalars())


async def _in_trouble(session: AsyncSession, prints: Iterable[str]) -> set[str]:
    """Which of these have an alert that fires or an event that is held back. Asked once their rows are locked."""
    asked = {"prints": list(prints)}
    if not asked["prints"]:
        return set()
    return set((await session.execute(_firing_or_held(), asked)).scalars())


@cache
def _stored() -> Select[Any]:
    new = insert(_TABLE).from_select(_GIVEN, rows_of(_TABLE, _GIVEN))
    newest = func.greatest(_TABLE.c.last_good_at, new.excluded.last_good_at)
    stored = new.on_conflict_do_update(index_elements=["fingerprint"], set_={"last_good_at": newest})
    held = _TABLE.c.held_event.is_not(None).label("held")
    rows = stored.returning(_TABLE.c.fingerprint, _TABLE.c.last_bad_at, held).cte("stored")
    return select(rows.c.fingerprint).where(or_(rows.c.last_bad_at.is_not(None), rows.c.held))


@cache
def _firing_or_held() -> CompoundSelect[Any]:
    prints = bindparam("prints", type_=ARRAY(_TABLE.c.fingerprint.type))
    firing = select(EpisodeRow.fingerprint).where(EpisodeRow.status == "firing", EpisodeRow.fingerprint == any_(prints))
    held = select(ConditionRow.fingerprint).where(
        ConditionRow.held_event.is_not(None), ConditionRow.fingerprint == any_(prints)
    )
    return firing.union(held)
