"""What is known of each trouble, in Postgres: read and locked once for many events, changed in memory, stored once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Self

from asyncpg import DeadlockDetectedError, UniqueViolationError
from sqlalchemy import ARRAY, CompoundSelect, Insert, Select, Update, any_, bindparam, insert, select, union, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor import ConditionRow, EpisodeRow
from schemas.envelope import Event
from services.monitor.advance import Trouble
from services.monitor.bulk import as_arrays, rows_of
from services.monitor.decide import Condition

_FACTS = ("last_bad_at", "last_bad_event", "last_good_at", "reversals", "held_event")
_GIVEN = ("fingerprint", "rule", *_FACTS)
_TABLE = ConditionRow.metadata.tables[ConditionRow.__tablename__]
_PRINTS = bindparam("prints", type_=ARRAY(_TABLE.c.fingerprint.type))


_NONE = Trouble()


class Troubles:
    """Those with some fingerprints. Rows that exist are locked, which makes decisions on them take turns."""

    def __init__(self, rules: Mapping[str, str], known: Mapping[str, Trouble]) -> None:
        self._rules, self._before, self._now = rules, known, dict(known)

    @classmethod
    async def locked(cls, session: AsyncSession, rules: Mapping[str, str]) -> Self:
        """Read those of these fingerprints, each given with its rule."""
        prints = {"prints": sorted(rules)}
        rows = (await session.execute(_locked(), prints)).all()
        firing = await session.execute(_firing(), prints) if rows else ()
        episodes = {row.fingerprint: row.episode for row in firing}
        return cls(rules, {row.fingerprint: _trouble(row, episodes.get(row.fingerprint)) for row in rows})

    def __getitem__(self, fingerprint: str) -> Trouble:
        return self._now.get(fingerprint, _NONE)

    def __setitem__(self, fingerprint: str, trouble: Trouble) -> None:
        self._now[fingerprint] = trouble

    async def store(self, session: AsyncSession) -> None:
        """Store what is other than before. A fingerprint that another instance stored meanwhile fails the
        transaction, see `is_taken`."""
        changed = [(print_, trouble) for print_, trouble in sorted(self._now.items()) if self._is_news(print_, trouble)]
        new = [self._row(*item) for item in changed if item[0] not in self._before]
        old = [self._row(*item) for item in changed if item[0] in self._before]
        if new:
            await session.execute(_inserted(), as_arrays(_GIVEN, new))
        if old:
            await session.execute(_updated(), as_arrays(_GIVEN, old))

    def _is_news(self, print_: str, trouble: Trouble) -> bool:
        return self._before.get(print_, _NONE) != trouble

    def _row(self, print_: str, trouble: Trouble) -> dict[str, Any]:
        condition, held = trouble
        return {
            "fingerprint": print_,
            "rule": self._rules[print_],
            "last_bad_at": condition.last_bad_at,
            "last_bad_event": condition.last_bad_event,
            "last_good_at": condition.last_good_at,
            "reversals": condition.reversals,
            "held_event": held.model_dump(mode="json") if held else None,
        }


async def held_events(session: AsyncSession) -> list[tuple[str, Event]]:
    """Every event that is held back, with the name of its rule."""
    query = select(ConditionRow.rule, ConditionRow.held_event).where(ConditionRow.held_event.is_not(None))
    return [(row.rule, Event.model_validate(row.held_event)) for row in await session.execute(query)]


async def with_troubles(session: AsyncSession, rules: Collection[str]) -> dict[str, set[str]]:
    """Of these rules those that have an alert that fires or an event that is held back, each with the fingerprints."""
    found: dict[str, set[str]] = {}
    if rules:
        for row in await session.execute(_troubled(), {"rules": sorted(rules)}):
            found.setdefault(row.rule, set()).add(row.fingerprint)
    return found


async def lock(session: AsyncSession, prints: Collection[str]) -> None:
    """Lock those that there are, in the one order in which all are locked."""
    await session.execute(_locked(), {"prints": sorted(prints)})


@cache
def _troubled() -> CompoundSelect[Any]:
    rules = bindparam("rules", type_=ARRAY(_TABLE.c.rule.type))
    held = select(ConditionRow.rule, ConditionRow.fingerprint).where(
        ConditionRow.held_event.is_not(None), ConditionRow.rule == any_(rules)
    )
    firing = select(EpisodeRow.rule, EpisodeRow.fingerprint).where(
        EpisodeRow.status == "firing", EpisodeRow.rule == any_(rules)
    )
    return union(held, firing)


@cache
def _locked() -> Select[Any]:
    # In one order, so that two instances do not wait for each other.
    query = select(_TABLE).where(_TABLE.c.fingerprint == any_(_PRINTS)).order_by(_TABLE.c.fingerprint)
    return query.with_for_update()


@cache
def _firing() -> Select[Any]:
    query = select(EpisodeRow.fingerprint, EpisodeRow.episode).where(EpisodeRow.status == "firing")
    return query.where(EpisodeRow.fingerprint == any_(_PRINTS))


@cache
def _inserted() -> Insert:
    return insert(_TABLE).from_select(_GIVEN, rows_of(_TABLE, _GIVEN))


@cache
def _updated() -> Update:
    given = rows_of(_TABLE, _GIVEN).subquery("new")
    changes = {name: given.c[name] for name in _FACTS}
    return update(_TABLE).where(_TABLE.c.fingerprint == given.c.fingerprint).values(changes)


def _trouble(row: Any, episode: str | None) -> Trouble:
    held = None if row.held_event is None else Event.model_validate(row.held_event)
    return Trouble(Condition(episode, row.last_bad_at, row.last_bad_event, row.last_good_at, row.reversals), held)


def is_taken(error: BaseException) -> bool:
    """Whether another instance got there first, so that the same transaction goes well when it is tried again."""
    origin = getattr(getattr(error, "orig", None), "__cause__", None)
    return isinstance(error, DBAPIError) and isinstance(origin, UniqueViolationError | DeadlockDetectedError)
