"""Two monitors that raise troubles nobody knew: Postgres ends one of two transactions, which then goes well."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, text

from datalab.bus.batch import TakenRecord
from datalab.bus.deadletters import KafkaDeadLetters
from datalab.bus.publisher import Publisher, RecordRef
from datalab.bus.retry import RetryPolicy
from datalab.runtime.clock import SystemClock
from datalab.runtime.settings import PROJECT_ROOT
from datalab.store.engine import Sessions
from datalab.store.tables.monitor import ConditionRow, EpisodeRow
from schemas.codec import encode
from schemas.envelope import Event
from services.monitor.effects import Effects
from services.monitor.identity import fingerprint
from services.monitor.intake import Intake
from services.monitor.reading import Occurrence
from services.monitor.rule_file import read_rules
from services.monitor.troubles import is_taken
from services.monitor.wording import Pages
from tests.support.monitor_events import quality_failed, quality_passed
from tests.support.polling import eventually

RULES = read_rules(PROJECT_ROOT / "config" / "alerts.yaml")
BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


class Instance:
    """What one process has between Kafka and Postgres, with how many events each of its attempts had."""

    def __init__(self, sessions: Sessions, publisher: Publisher) -> None:
        self._effects = Effects(
            sessions, lambda: RULES, SystemClock(), pages=Pages("http://prefect"), changed=lambda: None
        )
        self.attempts = list[int]()
        retry = RetryPolicy(is_transient=is_taken)
        self._intake = Intake("two", self._take, KafkaDeadLetters(publisher), retry, SystemClock())

    async def handle(self, *events: Event) -> None:
        await self._intake.store(await self._intake.read([_record(at, event) for at, event in enumerate(events)]))

    async def _take(self, occurrences: Sequence[Occurrence]) -> None:
        self.attempts.append(len(occurrences))
        await self._effects.take(occurrences)


async def test_of_two_that_wait_for_each_other_one_is_tried_again_and_each_alert_comes_once(
    sessions: Sessions, kafka_bootstrap: str
) -> None:
    (x, p), (y, q) = _by_fingerprint("a"), _by_fingerprint("b")
    async with Publisher(kafka_bootstrap, "tests") as publisher:
        one, other = Instance(sessions, publisher), Instance(sessions, publisher)
        async with sessions() as third:
            # Each has stored that one trouble is over, and waits, when the third lets both raise the other's.
            third.add_all([ConditionRow(fingerprint=_print(name), rule="data-quality") for name in (p, q)])
            await third.flush()
            both = asyncio.gather(
                one.handle(_passed(x), _passed(p), _failed(y)), other.handle(_passed(y), _passed(q), _failed(x))
            )
            await eventually(lambda: _waiting(sessions), until=lambda count: count == 2)
            await third.rollback()
        await both
    assert sorted([len(one.attempts), len(other.attempts)]) == [1, 2]
    assert {*one.attempts, *other.attempts} == {3}, "nothing is divided, and nothing is buried"
    async with sessions() as session:
        rows = (await session.execute(select(EpisodeRow.fingerprint, EpisodeRow.status))).all()
    assert sorted(map(tuple, rows)) == sorted([(_print(x), "firing"), (_print(y), "firing")])


async def test_both_are_told_of_the_same_new_trouble_and_raise_it_once(
    sessions: Sessions, kafka_bootstrap: str
) -> None:
    names = [f"new-{number}" for number in range(20)]
    async with Publisher(kafka_bootstrap, "tests") as publisher:
        one, other = Instance(sessions, publisher), Instance(sessions, publisher)
        await _at_once(one, other, [_failed(name) for name in names])
        await _at_once(one, other, [_passed(name, after_s=60) for name in names])
    assert {*one.attempts, *other.attempts} == {len(names)}
    async with sessions() as session:
        counts = (await session.execute(select(EpisodeRow.status, func.count()).group_by(EpisodeRow.status))).all()
    assert [tuple(row) for row in counts] == [("resolved", len(names))]


async def _at_once(one: Instance, other: Instance, events: Sequence[Event]) -> None:
    await asyncio.gather(one.handle(*events), other.handle(*events))


def _by_fingerprint(name: str) -> tuple[str, str]:
    """Two datasets; what is known of the first is stored before that of the second."""
    first, second = sorted((f"{name}-1", f"{name}-2"), key=_print)
    return first, second


def _print(dataset: str) -> str:
    return fingerprint("data-quality", {"dataset": dataset})


def _passed(dataset: str, after_s: float = 0) -> Event:
    return quality_passed(dataset, time=BEGIN + timedelta(seconds=after_s))


def _failed(dataset: str) -> Event:
    return quality_failed(dataset, time=BEGIN + timedelta(seconds=30))


def _record(offset: int, event: Event) -> TakenRecord:
    encoded = encode(event)
    return TakenRecord(RecordRef("lab.quality", 0, offset), 0, encoded.key, encoded.value, encoded.headers)


async def _waiting(sessions: Sessions) -> int:
    """Sessions of this database that wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with sessions() as session:
        return int((await session.execute(text(query))).scalar_one())
