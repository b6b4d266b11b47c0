"""The users' own event types: their JSON Schemas by version. Postgres is the truth for every instance of ingest.

A registered version is never changed, so what was read once stays true; only newer versions may come. They are looked
for when a type is unknown here, or when an event does not fit the version that is known here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from cachetools import LRUCache
from sqlalchemy import Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.clock import Clock
from datalab.store.engine import Sessions
from datalab.store.tables.ingest_api import UserSchemaRow
from schemas.catalog import is_user_type
from schemas.compatibility import Break, breaks_with_any
from schemas.user_types import compile_schema
from services.ingest.acceptance import UserType

# How soon Postgres is asked again about the same type, so that wrong events cannot wear it out.
_ASK_AGAIN_S = 1.0
_REMEMBERED = 2_000
# Each has a topic, and a broker holds only so many partitions.
TYPES_LIMIT = 500


class IncompatibleError(Exception):
    """The schema would make events unreadable that are on the topic already. `breaks` says each."""

    def __init__(self, breaks: list[Break]) -> None:
        super().__init__("; ".join(map(str, breaks)))
        self.breaks = breaks


class UserTypes:
    """Reads and registers types. Methods raise what SQLAlchemy raises while Postgres is away."""

    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        self._sessions, self._clock = sessions, clock
        self._known: LRUCache[str, tuple[UserType | None, float]] = LRUCache(_REMEMBERED)

    async def named(self, types: Iterable[str]) -> Mapping[str, UserType]:
        """Those of the names that are registered users' types, from memory where they are known."""
        found: dict[str, UserType] = {}
        for type_ in set(types):
            if is_user_type(type_) and (known := await self._find(type_)) is not None:
                found[type_] = known
        return found

    async def newer(self, known: UserType) -> UserType | None:
        """A version beyond this one, if another instance has registered one; asked for at most once a second."""
        entry = self._known.get(known.type)
        if entry is not None and self._is_fresh(entry):
            return entry[0] if entry[0] is not None and entry[0].version > known.version else None
        found = await self._ask(known.type)
        return found if found is not None and found.version > known.version else None

    async def versions(self, type_: str) -> list[UserSchemaRow]:
        """Every version of a type, oldest first; none if it is not registered."""
        async with self._sessions() as session:
            return list(await session.scalars(_versions_of(type_)))

    async def newest(self) -> list[tuple[str, int]]:
        """Every registered type with its newest version, by name."""
        statement = select(UserSchemaRow.type, func.max(UserSchemaRow.version)).group_by(UserSchemaRow.type)
        async with self._sessions() as session:
            return [(row[0], row[1]) for row in await session.execute(statement.order_by(UserSchemaRow.type))]

    async def register(
        self, type_: str, schema: dict[str, Any], before_it_counts: Callable[[], Awaitable[None]]
    ) -> tuple[UserType, bool]:
        """The type with this schema as its newest version, and whether that is new. `before_it_counts` runs when all
        is checked, and only if it succeeds the version is stored. Raises ValueError for a schema that is none or one
        type too many, IncompatibleError if it does not go with every earlier version."""
        faults = compile_schema(schema)
        async with self._sessions.begin() as session:
            # Two instances that register the same type take turns.
            await session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:type))"), {"type": f"schema {type_}"})
            rows = list(await session.scalars(_versions_of(type_)))
            new = not rows or rows[-1].schema != schema
            if new:
                await _check(session, rows, schema)
                session.add(UserSchemaRow(type=type_, version=len(rows) + 1, schema=schema))
                await before_it_counts()
        registered = UserType(type_, len(rows) + new, schema, faults)
        self._known[type_] = (registered, self._clock.monotonic())
        return registered, new

    async def _find(self, type_: str) -> UserType | None:
        entry = self._known.get(type_)
        if entry is not None and (entry[0] is not None or self._is_fresh(entry)):
            return entry[0]
        return await self._ask(type_)

    async def _ask(self, type_: str) -> UserType | None:
        rows = await self.versions(type_)
        known = None
        if rows:
            known = UserType(type_, rows[-1].version, rows[-1].schema, compile_schema(rows[-1].schema))
        self._known[type_] = (known, self._clock.monotonic())
        return known

    def _is_fresh(self, entry: tuple[UserType | None, float]) -> bool:
        return self._clock.monotonic() - entry[1] < _ASK_AGAIN_S


def _versions_of(type_: str) -> Select[tuple[UserSchemaRow]]:
    return select(UserSchemaRow).where(UserSchemaRow.type == type_).order_by(UserSchemaRow.version)


async def _check(session: AsyncSession, earlier: Sequence[UserSchemaRow], schema: dict[str, Any]) -> None:
    if breaks := breaks_with_any([row.schema for row in earlier], schema):
        raise IncompatibleError(breaks)
    count = await session.scalar(select(func.count(UserSchemaRow.type.distinct()))) or 0
    if not earlier and count >= TYPES_LIMIT:
        raise ValueError(f"type: there are {TYPES_LIMIT} types already, and no more are taken")
