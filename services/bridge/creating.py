"""Runs for triggers whose rows are open: in few requests, several of them side by side, in order for each key.

Every step can be repeated: rows and runs have keys that follow from rule and event.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.tables.bridge import TriggerRow
from schemas.envelope import Event
from services.bridge import metrics
from services.bridge.lanes import into_lanes, order_key
from services.bridge.prefect_runs import MOST_AT_ONCE, Wanted

log = get_logger(__name__)


class Runs(Protocol):
    """Where runs are created; see services.bridge.prefect_runs."""

    async def create(self, deployment: str, wanted: Wanted) -> str:
        """The id of the one run with this key."""

    async def create_many(self, deployment: str, runs: Sequence[Wanted]) -> list[str | None]:
        """The same for several, in order; None where it takes `create` to tell why not."""


class CreatedTriggers(Protocol):
    """Where it is noted which triggers have their run; see services.bridge.ledger."""

    async def created_many(self, runs: Mapping[str, str]) -> set[str]: ...


class Creating:
    """Creates runs ahead of their events' turn, at most `lanes` requests at a time for one batch."""

    def __init__(self, ledger: CreatedTriggers, runs: Runs, clock: Clock, *, lanes: int) -> None:
        self._ledger, self._runs, self._clock, self._lanes = ledger, runs, clock, lanes

    async def create(self, rows: Sequence[TriggerRow], events: Mapping[str, Event]) -> set[str]:
        """The triggers among `rows` that have their run now and had none before; `events` are theirs, by id. What one
        request could not do is left out, and raised if it was all there was to do."""
        # What the rule says belongs together, else what Kafka keeps in order.
        keys = {row.id: row.key or order_key(events[row.event_id]) for row in rows}
        lanes = into_lanes(rows, lambda row: keys[row.id], self._lanes)
        works = [self._lane(lane, events, keys) for lane in lanes]
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

    async def _lane(self, rows: Sequence[TriggerRow], events: Mapping[str, Event], keys: Mapping[str, str]) -> set[str]:
        """One request after the other. Behind a run that was not created the others of its key wait for their turn."""
        created: set[str] = set()
        held: set[str] = set()
        for deployment, chunk in by_deployment(rows):
            group = [row for row in chunk if keys[row.id] not in held]
            ids = await self._runs.create_many(deployment, [wanted_run(row) for row in group])
            runs = {row.id: id_ for row, id_ in zip(group, ids, strict=True) if id_ is not None}
            held.update(keys[row.id] for row in group if row.id not in runs)
            settled = await self._ledger.created_many(runs)
            for row in group:
                if row.id in settled:
                    tell_created(row, runs[row.id], events[row.event_id].time, self._clock)
            created |= settled
        return created


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


def by_deployment(rows: Sequence[TriggerRow]) -> Iterator[tuple[str, list[TriggerRow]]]:
    """As many rows of one deployment as a request may hold, in order."""
    groups: defaultdict[str, list[TriggerRow]] = defaultdict(list)
    for row in rows:
        groups[row.deployment].append(row)
    for deployment, group in groups.items():
        for start in range(0, len(group), MOST_AT_ONCE):
            yield deployment, group[start : start + MOST_AT_ONCE]
