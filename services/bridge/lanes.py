"""Which matches may have their runs created side by side: those of different keys. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from schemas.catalog import key_for
from services.bridge.intake import Match

# What has no key of its own shares this one with its like.
_NO_KEY = ""


def order_key(match: Match) -> str:
    """What a match keeps its order with: what its rule says belongs together, else what Kafka keeps in order."""
    decision, event, _ = match
    try:
        return decision.key or key_for(event)
    except (LookupError, ValueError):
        # It does not fit its type, which is no fault here: somebody else wrote the record, with a key we do not know.
        return _NO_KEY


def into_lanes(matches: Sequence[Match], most: int) -> list[list[Match]]:
    """Share the matches out to at most so many lanes of about the same length. Each key has one lane, and its matches
    are there in the order given."""
    by_key: defaultdict[str, list[Match]] = defaultdict(list)
    for match in matches:
        by_key[order_key(match)].append(match)
    lanes: list[list[Match]] = [[] for _ in range(min(most, len(by_key)))]
    for own in sorted(by_key.values(), key=len, reverse=True):
        min(lanes, key=len).extend(own)
    return lanes
