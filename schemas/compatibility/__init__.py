"""Whether a new JSON Schema still takes everything that an older one took, and if not, where and why.

The rule is BACKWARD_TRANSITIVE: events are kept and replayed, so whoever reads with the newest schema meets data of
every earlier one. Stricter than the usual rule in one point: a field is never removed, since a field of the same name
could come back with another meaning. Laxer in one: data is taken to hold no fields that its schema does not name, so
an optional field may be added to an object that is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from schemas.compatibility.comparison import Comparison
from schemas.compatibility.findings import Break, Kind

__all__ = ["Break", "Kind", "breaks", "breaks_with_any"]


def breaks(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Break]:
    """Why data that fits `old` may not fit `new`; empty if it always does. Both are JSON Schemas of draft 2020-12.

    What cannot be compared (`not`, `if`, a pattern against another) counts as a break when it differs.
    """
    return Comparison(old, new).run()


def breaks_with_any(versions: Iterable[Mapping[str, Any]], new: Mapping[str, Any]) -> list[Break]:
    """The breaks with every earlier version, oldest first; the same one is told once."""
    found: dict[tuple[str, str, str], Break] = {}
    for number, old in enumerate(versions, start=1):
        for one in breaks(old, new):
            found.setdefault((one.field, one.kind, one.was), one.of_version(number))
    return list(found.values())
