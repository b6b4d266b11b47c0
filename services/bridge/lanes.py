"""Which triggers may have their runs created side by side: those of different keys. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from datalab.store.tables.bridge import TriggerRow
from schemas.catalog import key_for
from schemas.envelope import Event

# Events of one key keep their order; what has none of its own shares this one with its like.
_NO_KEY = ""


def order_key(event: Event) -> str:
    """What an event keeps its order with: the key of its record."""
    try:
        return key_for(event)
    except (LookupError, ValueError):
        # It does not fit its type, which is no fault here: somebody else wrote the record, with a key we do not know.
        return _NO_KEY


def into_lanes(rows: Sequence[TriggerRow], key_of: Callable[[TriggerRow], str], most: int) -> list[list[TriggerRow]]:
    """Share the rows out to at most so many lanes of about the same length. Each key has one lane, and its rows are
    there in the order given."""
    by_key: defaultdict[str, list[TriggerRow]] = defaultdict(list)
    for row in rows:
        by_key[key_of(row)].append(row)
    lanes: list[list[TriggerRow]] = [[] for _ in range(min(most, len(by_key)))]
    for own in sorted(by_key.values(), key=len, reverse=True):
        min(lanes, key=len).extend(own)
    return lanes
