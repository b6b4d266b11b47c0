"""Many rows in one statement: an array for each column, unnested by Postgres. A statement of a thousand rows costs
hardly more than one of ten, and is planned and compiled once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Select, Table, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import ARRAY

Item = TypeVar("Item")


def rows_of(table: Table, names: Sequence[str]) -> Select[Any]:
    """A select of rows that are given as arrays, typed as the table's columns."""
    arrays = (bindparam(f"given_{name}", type_=ARRAY(table.c[name].type)) for name in names)
    source = func.unnest(*arrays).table_valued(*(column(name, table.c[name].type) for name in names), name="given")
    return select(*source.render_derived().c)


def as_arrays(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The rows as the parameters of a statement over `rows_of`."""
    return {f"given_{name}": [row[name] for row in rows] for name in names}


def waves(items: Sequence[Item], key: Callable[[Item], Hashable]) -> Iterator[list[Item]]:
    """The items in groups that hold each key once, in order: one statement cannot change the same row twice."""
    pending: Sequence[Item] = items
    while pending:
        taken: set[Hashable] = set()
        now: list[Item] = []
        later: list[Item] = []
        for item in pending:
            name = key(item)
            (later if name in taken else now).append(item)
            taken.add(name)
        yield now
        pending = later
