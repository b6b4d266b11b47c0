"""A record's way to its end: stored, or buried with a reason; an outage is waited for, whatever it takes."""

from __future__ import annotations

from sqlalchemy.exc import OperationalError

from datalab.bus.publisher import RecordRef
from datalab.bus.retry import RetryPolicy
from datalab.store.engine import database_is_down
from schemas.catalog import parse_data
from schemas.codec import EncodedRecord, encode
from schemas.envelope import Event
from services.monitor.intake import Intake
from services.monitor.timeliness import FutureTimeError
from tests.support.monitor_events import quality_failed

REF = RecordRef("lab.quality", 0, 7)


class Graveyard:
    """Dead letters that remember; `errors` are raised first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.buried = list(errors), list[tuple[str, EncodedRecord]]()

    async def bury(self, origin: RecordRef, group: str, reason: str, record: EncodedRecord) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.buried.append((reason, record))


class Store:
    """An effect that remembers what it stored; `errors` are raised first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.stored = list(errors), list[Event]()

    async def take(self, event: Event) -> None:
        if self.errors:
            raise self.errors.pop(0)
        parse_data(event)
        self.stored.append(event)


def intake(store: Store, graveyard: Graveyard) -> Intake:
    retry = RetryPolicy(attempts=3, first_s=0.001, longest_s=0.001, is_transient=database_is_down)
    return Intake("monitor", store.take, graveyard, retry)


async def test_an_event_is_stored() -> None:
    store, graveyard, event = Store(), Graveyard(), quality_failed("stocks")
    await intake(store, graveyard).take(REF, *encode(event))
    assert store.stored == [event]
    assert graveyard.buried == []


async def test_what_is_no_event_is_buried_as_it_was() -> None:
    store, graveyard = Store(), Graveyard()
    await intake(store, graveyard).take(REF, b"k", b"{", [("ce_type", b"x"), ("x", b"1"), ("x", b"2")])
    [(reason, record)] = graveyard.buried
    assert "is missing" in reason
    assert record == EncodedRecord(b"k", b"{", [("ce_type", b"x"), ("x", b"1"), ("x", b"2")])


async def test_a_payload_that_does_not_fit_is_buried_with_the_field() -> None:
    store, graveyard = Store(), Graveyard()
    key, _, headers = encode(quality_failed("stocks"))
    await intake(store, graveyard).take(REF, key, b'{"dataset": "stocks"}', headers)
    [(reason, _)] = graveyard.buried
    assert reason == "data.table: Field required"


async def test_a_time_that_cannot_be_is_buried_at_once() -> None:
    store, graveyard = Store(FutureTimeError("time: 2999 is more than a day ahead")), Graveyard()
    await intake(store, graveyard).take(REF, *encode(quality_failed("stocks")))
    assert [reason for reason, _ in graveyard.buried] == ["time: 2999 is more than a day ahead"]


async def test_an_outage_of_the_database_outlasts_every_limit_of_attempts() -> None:
    outages = [OperationalError("", {}, OSError()) for _ in range(20)]
    store, graveyard = Store(*outages, *(ConnectionRefusedError() for _ in range(20))), Graveyard()
    await intake(store, graveyard).take(REF, *encode(quality_failed("stocks")))
    assert len(store.stored) == 1
    assert graveyard.buried == []


async def test_a_fault_of_ours_is_buried_after_a_few_attempts() -> None:
    store, graveyard = Store(*(RuntimeError("boom") for _ in range(3))), Graveyard()
    await intake(store, graveyard).take(REF, *encode(quality_failed("stocks")))
    assert [reason for reason, _ in graveyard.buried] == ["RuntimeError: boom"]


async def test_dead_letters_are_tried_until_they_are_stored() -> None:
    graveyard = Graveyard(*(ConnectionError() for _ in range(10)))
    await intake(Store(), graveyard).take(REF, None, None, [])
    assert [reason for reason, _ in graveyard.buried] == ["the record has no value (a tombstone is not an event)"]
