"""Triggers that wait in the bridge: in windows, and behind a limit. The bridge is killed while they do."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from typing import Any

from schemas.envelope import Event
from tests.faults.bridge.books import Books, balance, complete, runs_of, until_settled
from tests.faults.bridge.cases import TOPIC, Case, case, kill_once
from tests.faults.bridge.parts import Parts
from tests.support.polling import eventually

_WINDOW, _ACTIVE = 5, 3
_NAMES = "{{ events | map(attribute='data.name') | join(' ') }}"
_LOOK_S = 0.2
_PATIENCE_S = 300.0


async def windows(lab: Parts, count: int, chance: random.Random, steps: Sequence[str]) -> Books:
    """Batches by key. `lost` and `duplicated` count events that are in no run, or in two."""
    async with case("killed while windows fill", lab, count, chance) as run:
        rule = run.rule("batches", "true", parameters={"name": _NAMES}) | {
            "key": "event.data.dataset",
            "when": {"batch": {"count": _WINDOW, "within": "2s"}},
        }
        await run.begin(only=rule)
        await _killed(run, steps)
        await run.publish()
        await eventually(lambda: _events_in_runs(lab, run.deployment), until=lambda n: n >= count, within_s=_PATIENCE_S)
        await until_settled(lab, TOPIC, run.deployment, 0)
        await complete(lab, run.deployment)
        books = await balance(lab, run.name, run.deployment, [], run.repeats)
        return of_windows(books, run.published, await _runs(lab, run))


async def limited(lab: Parts, count: int, chance: random.Random, steps: Sequence[str]) -> Books:
    """At most so many active runs for each key, while a worker ends them; more at a time count as out of order."""
    async with case("killed while triggers wait", lab, count, chance) as run:
        rule = run.rule("limited", "true") | {"key": "event.data.dataset", "limits": {"active": _ACTIVE}}
        await run.begin(only=rule)
        crowded: list[str] = []
        async with _worker(lab, run, crowded):
            await _killed(run, steps)
            await run.publish()
            await until_settled(lab, TOPIC, run.deployment, count)
        books = await run.books()
        return Books(**{**books.to_json(), "out_of_order": books.out_of_order + len(crowded)})


async def _killed(run: Case, steps: Sequence[str]) -> None:
    await run.bridges.start()
    for number, step in enumerate(steps):
        await kill_once(run, step, share=1 / (len(steps) + 1 - number))


@asynccontextmanager
async def _worker(lab: Parts, run: Case, crowded: list[str]) -> AsyncIterator[None]:
    """Ends what is scheduled, again and again; notes keys that have more active runs than allowed. Nobody else may end
    runs meanwhile, and it finishes what it is about: a run that two end has two ends to tell."""
    off_duty = asyncio.Event()

    async def work() -> None:
        while not off_duty.is_set():
            scheduled = [one for one in await _runs(lab, run) if one["state_type"] == "SCHEDULED"]
            names = {event.data["name"]: event.data["dataset"] for event in run.published}
            active = Counter(names[one["parameters"]["name"]] for one in scheduled)
            crowded.extend(key for key, number in active.items() if number > _ACTIVE)
            if scheduled:
                await complete(lab, run.deployment)
            await asyncio.sleep(_LOOK_S)  # as a worker that polls

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        off_duty.set()
        await working


async def _runs(lab: Parts, run: Case) -> list[dict[str, Any]]:
    return await runs_of(lab, run.deployment)


async def _events_in_runs(lab: Parts, deployment: str) -> int:
    return sum(len(run["parameters"]["name"].split()) for run in await runs_of(lab, deployment))


def of_windows(books: Books, published: Sequence[Event], runs: Sequence[dict[str, Any]]) -> Books:
    """The books of runs that are for several events each, from those of the runs alone."""
    found = Counter(name for one in runs for name in one["parameters"]["name"].split())
    return Books(
        **{
            **books.to_json(),
            "events": len(published),
            "lost": sum(not found[event.data["name"]] for event in published),
            "duplicated": sum(number - 1 for number in found.values() if number > 1),
            "out_of_order": _out_of_order(published, runs),
            # All runs are told; in the books a case has one for each event.
            "told": len(published) if books.told == books.runs == len(runs) else books.told,
        }
    )


def _out_of_order(published: Sequence[Event], runs: Sequence[dict[str, Any]]) -> int:
    """Windows that hold an event of another key, or are older than one of their key with earlier events."""
    place = {event.data["name"]: (event.data["dataset"], number) for number, event in enumerate(published)}
    by_key: defaultdict[str, list[tuple[datetime, int]]] = defaultdict(list)
    wrong = 0
    for run in runs:
        places = [place[name] for name in run["parameters"]["name"].split()]
        wrong += len({key for key, _ in places}) > 1
        by_key[places[0][0]].append((datetime.fromisoformat(run["created"]), min(number for _, number in places)))
    for own in by_key.values():
        wrong += sum(later < earlier for (_, earlier), (_, later) in pairwise(sorted(own)))
    return wrong
