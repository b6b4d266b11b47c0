"""How fast deployments use up their error budget, over several windows at once, as in the SRE workbook.

A success rate alone is either told late or too often. Here failures must be too many over a long window, so that a few
do not matter, and over a short one within it, so that the alert ends soon after they do. What is found goes to
`lab.metrics` as every measurement does, comes back from Kafka, and is judged by the rules on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.bus.publisher import RecordRef
from datalab.runtime.clock import Clock
from datalab.store.engine import Sessions
from datalab.store.tables.monitor import EpisodeRow, RunRow
from schemas.envelope import Event, event_id, new_event
from schemas.metrics import BURN_FAST, BURN_SLOW, MetricSampled
from services.monitor.criteria import OBJECTIVE
from services.monitor.episodes import SOURCE
from services.monitor.limit_store import limits_of
from services.monitor.limits import Limit
from services.monitor.rules import AlertRules
from services.monitor.runs import FAILED

_ENDED = ("COMPLETED", *FAILED)
# Of fewer runs, or failures, no rate can be told; single failures have a rule of their own.
FEWEST, FEWEST_FAILED = 10, 3
_NO_BUDGET = Limit(0.95)


class Pair(NamedTuple):
    """A long window, a short one, and how many times as fast as the objective allows is too fast."""

    long: timedelta
    short: timedelta
    factor: float


PAIRS: Mapping[str, tuple[Pair, ...]] = {
    BURN_FAST: (
        Pair(timedelta(hours=1), timedelta(minutes=5), 14.4),
        Pair(timedelta(hours=6), timedelta(minutes=30), 6.0),
    ),
    BURN_SLOW: (
        Pair(timedelta(days=1), timedelta(hours=2), 3.0),
        Pair(timedelta(days=3), timedelta(hours=6), 1.0),
    ),
}
_WINDOWS = sorted({window for pairs in PAIRS.values() for pair in pairs for window in (pair.long, pair.short)})


class Counts(NamedTuple):
    """Runs that ended in a window, and those of them that failed or crashed."""

    ended: int
    failed: int

    @property
    def failed_share(self) -> float:
        return self.failed / self.ended if self.ended else 0.0


@dataclass(frozen=True)
class Ended:
    """What ended of one deployment, by window."""

    flow: str
    deployment: str | None
    by_window: Mapping[timedelta, Counts]

    @property
    def name(self) -> str:
        return self.deployment or self.flow


class EventPublisher(Protocol):
    """Where measurements go."""

    async def publish(self, event: Event) -> RecordRef:
        """Returns once the event is stored durably."""


def burn(ended: Ended, pairs: Iterable[Pair], objective: float) -> tuple[float, Pair | None]:
    """The budget's use in multiples of what is too fast, above 1 being too fast; and the shortest windows in which it
    is too fast, else those that are nearest to it. Pure."""
    found: list[tuple[float, Pair]] = []
    for pair in pairs:
        long, short = ended.by_window[pair.long], ended.by_window[pair.short]
        if long.ended >= FEWEST and long.failed >= FEWEST_FAILED:
            times = min(long.failed_share, short.failed_share) / (1 - objective)
            found.append((times / _reachable(pair.factor, objective), pair))
    if not found:
        return 0.0, None
    highest = max(times for times, _ in found)
    return highest, next(pair for times, pair in found if times > 1 or times == highest)


def _reachable(factor: float, objective: float) -> float:
    """A lax objective cannot be missed 14.4 times over: then it is too fast where nine of ten runs fail."""
    return min(factor, 0.9 / (1 - objective))


class Burns:
    """Measures again and again. Several instances may: at one minute all of them give their events the same ids."""

    def __init__(
        self, sessions: Sessions, publisher: EventPublisher, rules: Callable[[], AlertRules], clock: Clock
    ) -> None:
        self._sessions, self._publisher, self._rules, self._clock = sessions, publisher, rules, clock

    async def look(self) -> None:
        """Publish the burn of every deployment that had failures lately, or whose alert fires."""
        now, rules = self._clock.now(), self._rules()
        metrics = {rule.name: rule.metric for rule in rules.rules if rule.metric in PAIRS}
        if not metrics:
            return
        async with self._sessions() as session:
            limits = await limits_of(session, rules)
            firing = await _firing(session, list(metrics))
            found = [e for e in await _ended(session, now) if e.by_window[_WINDOWS[-1]].failed or e.name in firing]
        for rule, metric in metrics.items():
            objective = limits[rule].limits.get(OBJECTIVE, _NO_BUDGET)
            for ended in found:
                await self._publisher.publish(
                    _event(ended, metric or "", objective.of(ended.flow, ended.deployment), now)
                )
            for name in firing - {ended.name for ended in found}:
                nothing = Ended(name, None, dict.fromkeys(_WINDOWS, Counts(0, 0)))
                await self._publisher.publish(_event(nothing, metric or "", objective.value, now))


def _event(ended: Ended, metric: str, objective: float, now: datetime) -> Event:
    value, pair = burn(ended, PAIRS[metric], objective)
    labels = {"objective": f"{objective:g}"}
    if pair is not None:
        long, short = ended.by_window[pair.long], ended.by_window[pair.short]
        labels |= {
            "window": _words(pair.long), "failed": str(long.failed), "ended": str(long.ended),
            "short_window": _words(pair.short), "short_failed": str(short.failed), "short_ended": str(short.ended),
        }  # fmt: skip
    data = MetricSampled(of=ended.name, name=metric, value=value, unit="1", labels=labels)
    identity = event_id("burn", ended.name, metric, now.replace(second=0, microsecond=0).isoformat())
    return new_event(data, source=SOURCE, id=identity, time=now)


def _words(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    return f"{minutes // 60} h" if minutes >= 60 else f"{minutes} min"


async def _firing(session: AsyncSession, rules: Sequence[str]) -> set[str]:
    query = select(EpisodeRow.labels["of"].astext).where(EpisodeRow.status == "firing", EpisodeRow.rule.in_(rules))
    return set((await session.execute(query)).scalars())


async def _ended(session: AsyncSession, now: datetime) -> list[Ended]:
    counts = []
    for window in _WINDOWS:
        recent = RunRow.occurred_at > now - window
        counts += [
            func.count().filter(recent),
            func.count().filter(recent, RunRow.state_type.in_(FAILED)),
        ]
    query = select(RunRow.flow, RunRow.deployment, *counts).where(
        RunRow.state_type.in_(_ENDED), RunRow.occurred_at > now - _WINDOWS[-1], RunRow.occurred_at <= now
    )
    rows = await session.execute(query.group_by(RunRow.flow, RunRow.deployment))
    return [
        Ended(row[0], row[1], {w: Counts(*row[2 + 2 * n : 4 + 2 * n]) for n, w in enumerate(_WINDOWS)}) for row in rows
    ]
