"""Which dead letters are meant, which cannot be replayed, and how a replay is marked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from datalab.bus.deadletters import KafkaDeadLetters
from datalab.bus.faults import Fault
from datalab.bus.publisher import RecordRef, RecordRefusedError
from schemas.codec import EncodedRecord, decode, encode
from schemas.envelope import Event, new_event
from schemas.metrics import MetricSampled
from services.bridge import dead_letters
from services.bridge.dead_letters import DeadLetter, Selection, read_dead_letters, read_some
from services.bridge.replaying import marked

NOW = datetime.now(UTC)
EVENT = new_event(MetricSampled(of="t", name="rows", value=1, unit="1"), source="t", time=NOW)


class Written(NamedTuple):
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]


class Topic:
    """The dead letters as they are on Kafka; takes no record of more than so many bytes."""

    def __init__(self, limit: int = 1000) -> None:
        self.records: list[Written] = []
        self._limit = limit

    async def publish_record(self, _: str, record: EncodedRecord, *__: Any) -> None:
        if len(record.value) > self._limit:
            raise RecordRefusedError("MessageSizeTooLargeError")
        self.records.append(Written(0, len(self.records), *record))

    async def read(self, *_: Any, **__: Any) -> Any:
        for record in self.records:
            yield record


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    topic = Topic()
    monkeypatch.setattr(dead_letters, "read_records", topic.read)
    return topic


async def letter(topic: Any, fault: Fault, record: EncodedRecord | None = None) -> DeadLetter:
    """The letter that this makes, as it is read again."""
    await KafkaDeadLetters(topic).bury(RecordRef("lab.metrics", 1, 7), fault, record or encode(EVENT))
    return (await read_dead_letters("nowhere"))[-1]


FAULT = Fault("bridge", "rule a: no; rule b: no", "handle", "PrefectRefusedError", 5, ("a", "b"))


@pytest.mark.parametrize(
    ("selection", "meant"),
    [
        (Selection(), True),
        (Selection(group="bridge", rule="b", topic="lab.metrics", type=EVENT.type, event=EVENT.id), True),
        (Selection(error="prefectrefused"), True),
        (Selection(error="PrefectRefusedError"), True),
        (Selection(since=NOW - timedelta(hours=1), until=NOW + timedelta(hours=1)), True),
        (Selection(group="monitor"), False),
        (Selection(rule="c"), False),
        (Selection(error="ValueError"), False),
        (Selection(topic="lab.files"), False),
        (Selection(type="lab.file.arrived.v1"), False),
        (Selection(event="other"), False),
        (Selection(since=NOW + timedelta(hours=1)), False),
        (Selection(until=NOW - timedelta(hours=1)), False),
    ],
)
async def test_letters_are_chosen_by_all_that_is_given(topic: Topic, selection: Selection, meant: bool) -> None:
    assert selection.holds(await letter(topic, FAULT)) is meant


async def test_a_letter_says_in_kafka_connects_words_where_it_died_and_of_what(topic: Topic) -> None:
    await letter(topic, FAULT)
    headers = {name: value.decode() for name, value in topic.records[0].headers}
    assert {name: value for name, value in headers.items() if name.startswith("__connect.errors.")} == {
        "__connect.errors.topic": "lab.metrics",
        "__connect.errors.partition": "1",
        "__connect.errors.offset": "7",
        "__connect.errors.connector.name": "bridge",
        "__connect.errors.stage": "TASK_PUT",
        "__connect.errors.exception.class.name": "PrefectRefusedError",
        "__connect.errors.exception.message": "rule a: no; rule b: no",
    }
    assert headers["dlq_attempts"] == "5"


async def test_a_record_that_was_too_large_is_known_by_its_id_and_never_replayed_as_an_empty_one(topic: Topic) -> None:
    event, _, headers = encode(EVENT)
    large = await letter(topic, FAULT, EncodedRecord(event, b"x" * 2000, headers))
    assert (large.event_id, large.left, large.record.value) == (EVENT.id, 2000, b"")
    assert "its 2000 bytes were too large" in str(large.refusal())
    assert "lab.metrics[1]@7" in str(large.refusal())


async def test_a_letter_of_before_there_were_headers_for_it_is_understood(topic: Topic) -> None:
    reason = "PermanentError: rule stocks-x: 409; its 77 bytes are left at lab.files[0]@3: too large"
    about = {"dlq_topic": b"lab.files", "dlq_group": b"bridge", "dlq_reason": reason.encode(), "dlq_at": b"strange"}
    topic.records.append(Written(0, 0, None, b"", list(about.items())))
    (old,) = await read_dead_letters("nowhere")
    assert (old.error, old.rules, old.left) == ("PermanentError", ("stocks-x",), 77)
    assert not Selection(since=NOW).holds(old), "when it died cannot be told"


async def test_a_tombstone_and_a_letter_of_others_are_refused_with_the_reason(topic: Topic) -> None:
    assert "tombstone" in str((await letter(topic, FAULT, EncodedRecord(b"k", b"", []))).refusal())
    topic.records.append(Written(0, 1, None, b"x", []))
    assert "which topic" in str((await read_dead_letters("nowhere"))[0].refusal())


async def test_letters_that_are_not_there_are_named(topic: Topic) -> None:
    await letter(topic, FAULT)
    assert [found.id for found in await read_some("nowhere", ["0-0", "0-0"])] == ["0-0"]
    with pytest.raises(LookupError, match="no dead letter 0-8, 0-9"):
        await read_some("nowhere", ["0-0", "0-8", "0-9"])


def _decoded(record: EncodedRecord) -> Event:
    return decode(record.key, record.value, record.headers)


async def test_a_replay_keeps_the_id_and_says_of_which_letter_it_is_one_also_when_it_died_twice(topic: Topic) -> None:
    first = await letter(topic, FAULT)
    assert _decoded(marked(first)) == EVENT.model_copy(update={"extensions": {"replayof": "0-0"}})
    second = await letter(topic, FAULT, marked(first))
    assert second.replayof == "0-0"
    assert _decoded(marked(second)).extensions == {"replayof": "0-1"}


async def test_a_whole_event_is_marked_inside_and_what_is_no_event_beside_it(topic: Topic) -> None:
    whole = {"specversion": "1.0", "id": "ação", "source": "/s", "type": EVENT.type, "data": {"n": 1.5}}
    for headers in ([], [("content-type", b"application/cloudevents+json")]):
        died = await letter(topic, FAULT, EncodedRecord(b"k", json.dumps(whole).encode(), headers))
        event = _decoded(marked(died))
        assert (event.id, event.data, event.extensions) == ("ação", {"n": 1.5}, {"replayof": died.id})
    garbage = await letter(topic, FAULT, EncodedRecord(b"k", b"\xff[", []))
    assert marked(garbage) == EncodedRecord(b"k", b"\xff[", [("replayof", garbage.id.encode())])
