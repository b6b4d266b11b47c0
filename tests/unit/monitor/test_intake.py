"""A record's way to its end: stored, or buried with a reason; an outage is waited for, whatever it takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import OperationalError

from datalab.bus.batch import TakenRecord
from datalab.bus.faults import Fault
from datalab.bus.publisher import RecordRef
from datalab.bus.retry import RetryPolicy
from datalab.store.engine import database_is_down
from schemas.codec import EncodedRecord, decode, encode
from schemas.envelope import Event
from services.monitor.intake import Intake
from services.monitor.reading import Occurrence
from tests.support.monitor_events import quality_failed

REF = RecordRef("lab.quality", 0, 7)
NOW = datetime(2026, 3, 2, tzinfo=UTC)


class At:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Graveyard:
    """Dead letters that remember; `errors` are raised first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.buried = list(errors), list[tuple[str, EncodedRecord]]()

    async def bury(self, origin: RecordRef, fault: Fault, record: EncodedRecord) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.buried.append((fault.reason, record))


class Store:
    """An effect that remembers what it stored; `errors` are raised first, and always for what is `poisonous`."""

    def __init__(self, *errors: Exception, poisonous: frozenset[str] = frozenset()) -> None:
        self.errors, self.stored, self.poisonous = list(errors), list[Event](), poisonous

    async def take(self, occurrences: Sequence[Occurrence]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        events = [occurrence.event for occurrence in occurrences]
        if any(event.id in self.poisonous for event in events):
            raise RuntimeError("boom")
        self.stored += events


def failed(*, time: datetime = NOW) -> Event:
    return quality_failed("stocks", time=time)


def record(encoded: EncodedRecord) -> TakenRecord:
    return TakenRecord(REF, 0, *encoded)


async def take(store: Store, graveyard: Graveyard, *records: EncodedRecord) -> None:
    retry = RetryPolicy(attempts=3, first_s=0.001, longest_s=0.001, is_transient=database_is_down)
    intake = Intake("monitor", store.take, graveyard, retry, At())
    await intake.store(await intake.read([record(one) for one in records]))


async def test_a_batch_is_stored_in_order() -> None:
    store, graveyard, events = Store(), Graveyard(), [failed() for _ in range(3)]
    await take(store, graveyard, *map(encode, events))
    assert store.stored == events
    assert graveyard.buried == []


async def test_what_is_no_event_is_buried_as_it_was_and_the_rest_is_stored() -> None:
    store, graveyard, event = Store(), Graveyard(), failed()
    await take(
        store, graveyard, EncodedRecord(b"k", b"{", [("ce_type", b"x"), ("x", b"1"), ("x", b"2")]), encode(event)
    )
    [(reason, record)] = graveyard.buried
    assert "is missing" in reason
    assert record == EncodedRecord(b"k", b"{", [("ce_type", b"x"), ("x", b"1"), ("x", b"2")])
    assert store.stored == [event]


async def test_a_payload_that_does_not_fit_is_buried_with_the_field() -> None:
    store, graveyard = Store(), Graveyard()
    await take(store, graveyard, encode(failed())._replace(value=b'{"dataset": "stocks"}'))
    [(reason, _)] = graveyard.buried
    assert reason == "data.table: Field required"


async def test_a_time_that_cannot_be_is_buried_at_once() -> None:
    store, graveyard = Store(), Graveyard()
    await take(store, graveyard, encode(failed(time=NOW + timedelta(days=2))))
    [(reason, _)] = graveyard.buried
    assert reason.startswith("time: 2026-03-04T00:00:00+00:00 is more than a day ahead")
    assert store.stored == []


async def test_an_outage_of_the_database_outlasts_every_limit_of_attempts() -> None:
    outages = [OperationalError("", {}, OSError()) for _ in range(20)]
    store, graveyard = Store(*outages, *(ConnectionRefusedError() for _ in range(20))), Graveyard()
    await take(store, graveyard, encode(failed()), encode(failed()))
    assert len(store.stored) == 2
    assert graveyard.buried == []


async def test_a_fault_of_ours_is_buried_after_a_few_attempts() -> None:
    store, graveyard = Store(*(RuntimeError("boom") for _ in range(3))), Graveyard()
    await take(store, graveyard, encode(failed()))
    assert [reason for reason, _ in graveyard.buried] == ["RuntimeError: boom"]


async def test_one_that_cannot_be_stored_does_not_take_the_others_of_its_batch_with_it() -> None:
    events = [failed() for _ in range(5)]
    store, graveyard = Store(poisonous=frozenset({events[2].id})), Graveyard()
    await take(store, graveyard, *map(encode, events))
    assert store.stored == [*events[:2], *events[3:]]
    assert [decode(*record).id for _, record in graveyard.buried] == [events[2].id]


async def test_dead_letters_are_tried_until_they_are_stored() -> None:
    graveyard = Graveyard(*(ConnectionError() for _ in range(10)))
    intake = Intake("monitor", Store().take, graveyard, RetryPolicy(first_s=0.001, longest_s=0.001), At())
    await intake.store(await intake.read([TakenRecord(REF, 0, None, None, [])]))
    assert [reason for reason, _ in graveyard.buried] == ["the record has no value (a tombstone is not an event)"]
