"""Runs for many matches at once: rows of the ledger, then runs in few requests, several of them side by side, in order
for each key.

Every step can be repeated: rows and runs have keys that follow from rule and event.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.tables.bridge import TriggerRow
from services.bridge import metrics
from services.bridge.decisions import trigger_id
from services.bridge.intake import Match
from services.bridge.lanes import into_lanes, order_key
from services.bridge.prefect_runs import MOST_AT_ONCE, Wanted

log = get_logger(__name__)
Item = TypeVar("Item")


class Runs(Protocol):
    """Where runs are created; see services.bridge.prefect_runs."""

    async def create(self, deployment: str, wanted: Wanted) -> str:
        """The id of the one run with this key."""

    async def create_many(self, deployment: str, runs: Sequence[Wanted]) -> list[str | None]:
        """The same for several, in order; None where it takes `create` to tell why not."""


class OpenTriggers(Protocol):
    """Where it is noted which triggers there are and which have their run; see services.bridge.ledger."""

    async def open_many(self, matches: Sequence[Match]) -> tuple[list[TriggerRow], list[TriggerRow]]: ...
    async def created_many(self, runs: Mapping[str, str]) -> set[str]: ...


class Creating:
    """Creates runs ahead of their events' turn, at most `lanes` requests at a time for one batch."""

    def __init__(self, ledger: OpenTriggers, runs: Runs, clock: Clock, *, lanes: int) -> None:
        self._ledger, self._runs, self._clock, self._lanes = ledger, runs, clock, lanes

    async def create(self, matches: Sequence[Match]) -> set[str]:
        """The triggers that have their run now and had none before. What one lane could not do is left out, and raised
        if it was all there was to do."""
        works = [self._lane(lane) for lane in into_lanes(matches, self._lanes)]
        created: set[str] = set()
        errors: list[BaseException] = []
        for outcome in await asyncio.gather(*works, return_exceptions=True):
            if isinstance(outcome, BaseException):
                errors.append(outcome)
            else:
                created |= outcome
        if errors and not created:
            raise errors[0]
        for error in errors:
            log.warning("lane.unprepared", reason=f"{type(error).__name__}: {error}"[:300])
        return created

    async def _lane(self, matches: Sequence[Match]) -> set[str]:
        """One request after the other. Behind a run that was not created the others of its key wait for their turn."""
        created: set[str] = set()
        held: set[str] = set()
        for _, chunk in by_deployment(matches, lambda match: match[0].rule.spec.run.deployment):
            keys = {trigger_id(match[0].rule.name, match[1].id): order_key(match) for match in chunk}
            rows, new = await self._ledger.open_many([match for match in chunk if order_key(match) not in held])
            for rule, count in Counter(row.rule for row in new).items():
                metrics.MATCHED.labels(rule).inc(count)
            times = {event.id: event.time for _, event, _ in chunk}
            for deployment, group in by_deployment(rows, lambda row: row.deployment):
                settled, refused = await self._request(deployment, group, times)
                held.update(keys[id_] for id_ in refused)
                created |= settled
        return created

    async def _request(
        self, deployment: str, rows: Sequence[TriggerRow], times: Mapping[str, datetime]
    ) -> tuple[set[str], set[str]]:
        """Those of these triggers whose run is new, and those that have none; `times` is when events happened, by their
        ids."""
        ids = await self._runs.create_many(deployment, [wanted_run(row) for row in rows])
        runs = {row.id: id_ for row, id_ in zip(rows, ids, strict=True) if id_ is not None}
        settled = await self._ledger.created_many(runs)
        for row in rows:
            if row.id in settled:
                tell_created(row, runs[row.id], times[row.event_id], self._clock)
        return settled, {row.id for row in rows} - runs.keys()


def tell_created(row: TriggerRow, run_id: str, happened: datetime, clock: Clock) -> None:
    """Count and log a run that is new."""
    metrics.CREATED.labels(row.rule).inc()
    waited = max(0.0, (clock.now() - happened).total_seconds())
    metrics.EVENT_TO_CREATED.observe(waited)
    log.info(
        "run.created",
        rule=row.rule,
        event_id=row.event_id,
        run_id=run_id,
        deployment=row.deployment,
        seconds=waited,
    )


def wanted_run(row: TriggerRow) -> Wanted:
    """The run that a trigger asks for."""
    return Wanted(row.idempotency_key, row.parameters, row.tags, row.options)


def by_deployment(items: Sequence[Item], deployment_of: Callable[[Item], str]) -> Iterator[tuple[str, list[Item]]]:
    """As many items of one deployment as a request may hold, in order."""
    groups: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[deployment_of(item)].append(item)
    for deployment, group in groups.items():
        for start in range(0, len(group), MOST_AT_ONCE):
            yield deployment, group[start : start + MOST_AT_ONCE]
