"""Events that show only that something is well, which is nearly all of them: remembered in one statement, with nothing
asked about them. What is about a trouble, now or in the same batch, is left to be decided.

That it was well has to be remembered, lest a latecomer raise the alert of a trouble that is over. The statement locks
the rows that it changes, so that whoever decides on the same trouble comes before or after, never beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, CompoundSelect, Select, any_, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor import ConditionRow, EpisodeRow
from services.monitor.bulk import as_arrays, rows_of
from services.monitor.identity import fingerprint, labels_of
from services.monitor.reading import Occurrence
from services.monitor.rules import AlertRule

Pair = tuple[AlertRule, Occurrence]
_GIVEN = ("fingerprint", "rule", "last_good_at")
_TABLE = ConditionRow.metadata.tables[ConditionRow.__tablename__]


class Divided(NamedTuple):
    """The pairs that are to be decided, in their order, and by rule how many only said that all is well."""

    to_decide: list[Pair]
    well: dict[str, int]


async def divide(session: AsyncSession, pairs: Sequence[Pair]) -> Divided:
    """Remember what is well; what is about a trouble is left to be decided."""
    prints = [fingerprint(rule.name, labels_of(rule, o.event)) for rule, o in pairs]
    ends = [rule.remembers_ends and o.event.type in rule.resolved_by for rule, o in pairs]
    loud = {print_ for print_, is_end in zip(prints, ends, strict=True) if not is_end}
    well = _newest(prints, pairs, loud)
    loud |= await _in_trouble(session, await _remember(session, well)) if well else set()
    counts: dict[str, int] = {}
    to_decide = []
    for print_, pair in zip(prints, pairs, strict=True):
        if print_ in loud:
            to_decide.append(pair)
        else:
            counts[pair[0].name] = counts.get(pair[0].name, 0) + 1
    return Divided(to_decide, counts)


def _newest(prints: Sequence[str], pairs: Sequence[Pair], loud: set[str]) -> dict[str, tuple[str, datetime]]:
    """By fingerprint, the rule and the newest time at which it was well."""
    newest: dict[str, tuple[str, datetime]] = {}
    for print_, (rule, (event, _)) in zip(prints, pairs, strict=True):
        if print_ not in loud and (print_ not in newest or newest[print_][1] < event.time):
            newest[print_] = (rule.name, event.time)
    return newest


async def _remember(session: AsyncSession, well: dict[str, tuple[str, datetime]]) -> list[str]:
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
