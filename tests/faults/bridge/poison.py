"""Poison among the events: each kind in the dead letters with its reason, once, and nothing else harmed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

from schemas.codec import EncodedRecord
from services.bridge.dead_letters import Selection, read_dead_letters
from tests.faults.bridge.books import Books
from tests.faults.bridge.cases import TOPIC, Case, case
from tests.faults.bridge.parts import Parts
from tests.support.polling import eventually

# By kind: what a rule runs for such files, and what the dead letter says.
_KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "template": ({"parameters": {"name": "{{ event.data.nosuch }}"}}, "nosuch"),
    "deployment": ({"deployment": "nobody/knows"}, "'nobody/knows' is not registered"),
    "type": ({"parameters": {"name": "{{ event.data.size_bytes }}"}}, 'is not of type "string"'),
}
_UNDECODABLE = "neither ce_ headers nor a JSON object"
_PATIENCE_S = 120.0


async def poisoned(lab: Parts, count: int, chance: random.Random, times: int) -> Books:
    """Between portions of good events, one of each kind of poison under the same keys."""
    async with case("poison", lab, count, chance) as run:
        await run.begin(
            *(run.rule(kind, f"event.data.name.endsWith('.{kind}')", **asked) for kind, (asked, _) in _KINDS.items())
        )
        await run.bridges.start()
        for number in range(times):
            await run.publish(1 / (times + 1 - number))
            await _publish_poison(run, number)
        books = await run.books()
        expected = Counter(dict.fromkeys([*_KINDS, "bytes"], times))
        found = await eventually(lambda: _letters(run), until=lambda found: not expected - found, within_s=_PATIENCE_S)
    missing, repeated = (expected - found).total(), (found - expected).total()
    return replace(books, lost=books.lost + missing, duplicated=books.duplicated + repeated)


async def _publish_poison(run: Case, number: int) -> None:
    for kind in _KINDS:
        await run.lab.publisher.publish(run.event(f"{number}.{kind}", number))
    key = run.event("", number).data["dataset"].encode()
    await run.lab.publisher.publish_record(TOPIC, EncodedRecord(key, b"\xff\x00 no event", []))


async def _letters(run: Case) -> Counter[str]:
    """How many letters of this case there are with each of the reasons; `strange` are all others."""
    reasons = {kind: reason for kind, (_, reason) in _KINDS.items()} | {"bytes": _UNDECODABLE}
    found: Counter[str] = Counter()
    for letter in await read_dead_letters(run.lab.kafka, Selection(group=run.lab.group)):
        of_ours = letter.record.key is not None and letter.record.key.decode().startswith(run.tag)
        if of_ours:
            found[next((kind for kind, reason in reasons.items() if reason in letter.reason), "strange")] += 1
    return found
