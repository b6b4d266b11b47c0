"""The Kafka pipeline without Kafka: what a message is, what its result carries, and what is poison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datalab.bus.batch import TakenRecord
from datalab.bus.publisher import RecordRef
from flows.pipeline.messages import Message, PoisonError, read_message
from flows.pipeline.processing import (
    DEFAULT_PROCESSOR,
    ProcessorError,
    ProcessorWaitsError,
    Rejected,
    Result,
    load_processor,
    pass_through,
    process,
)
from flows.pipeline.route import RouteError, choose_route
from schemas.codec import STRUCTURED, encode, to_structured
from schemas.envelope import new_event
from schemas.metrics import MetricSampled

EVENT = new_event(
    MetricSampled(of="a", name="n", value=1, unit="1"), source="test", id="event-1", correlationid="chain-1"
)


def record(
    value: bytes | None, headers: list[tuple[str, bytes]] | None = None, *, offset: int = 7, at: int = 1_700_000_000_000
) -> TakenRecord:
    return TakenRecord(RecordRef("orders", 0, offset), at, b"key", value, headers or [])


def outcome(taken: TakenRecord, processor: Any = pass_through, *, group: str = "g") -> Any:
    [found] = process([taken], processor, group=group, processor_name="p")
    return found


def headers_of(result: Result) -> dict[str, str]:
    return {name: value.decode() for name, value in result.record.headers}


def test_plain_json_and_both_modes_of_cloudevents_are_messages() -> None:
    assert read_message(record('{"valor": "ação"}'.encode())).value == {"valor": "ação"}
    assert read_message(record(b"[1, null]")).value == [1, None]
    binary = encode(EVENT)
    structured = record(json.dumps(to_structured(EVENT)).encode(), [("content-type", STRUCTURED.encode())])
    for taken in (record(binary.value, binary.headers), structured):
        message = read_message(taken)
        assert (message.event, message.value) == (EVENT, EVENT.data)


@pytest.mark.parametrize(
    ("taken", "reason"),
    [
        pytest.param(record(b"not json"), "not JSON", id="text"),
        pytest.param(record(b"\xff\xfe"), "not JSON", id="bytes"),
        pytest.param(record(b'{"v": NaN}'), "NaN is not a JSON value", id="not a number"),
        pytest.param(record(b"[" * 100_000), "not JSON", id="too deep"),
        pytest.param(record(None), "no value", id="tombstone"),
        pytest.param(record(b"{}", [("ce_specversion", b"1.0")]), "not a CloudEvent", id="half an event"),
    ],
)
def test_what_is_no_message_is_poison_with_the_reason(taken: TakenRecord, reason: str) -> None:
    with pytest.raises(PoisonError, match=reason):
        read_message(taken)
    assert isinstance(outcome(taken), Rejected)


def test_without_a_processor_a_message_passes_with_where_it_came_from() -> None:
    result = outcome(record(b'{"valor": 1}'))
    assert json.loads(result.record.value) == {
        "message": {"valor": 1},
        "key": "key",
        "source": {"topic": "orders", "partition": 0, "offset": 7, "time": "2023-11-14T22:13:20+00:00"},
    }
    assert result.record.key == b"key"
    passed = json.loads(outcome(record(encode(EVENT).value, encode(EVENT).headers)).record.value)
    assert (passed["message"], passed["event"]["id"]) == (EVENT.data, "event-1")


def test_a_result_names_its_source() -> None:
    headers = headers_of(outcome(record(b"1")))
    assert headers.pop("datalab_id")
    assert headers == {
        "content-type": "application/json",
        "datalab_source_topic": "orders",
        "datalab_source_partition": "0",
        "datalab_source_offset": "7",
        "datalab_processor": "p",
    }
    of_event = headers_of(outcome(record(encode(EVENT).value, encode(EVENT).headers)))
    assert (of_event["datalab_causationid"], of_event["datalab_correlationid"]) == ("event-1", "chain-1")


def test_a_repeat_has_the_same_id_and_nothing_else_has() -> None:
    def id_of(taken: TakenRecord, **options: Any) -> str:
        return headers_of(outcome(taken, **options))["datalab_id"]

    assert id_of(record(b"1")) == id_of(record(b"1"))
    others = [record(b"1", offset=8), record(b"1", at=1_700_000_000_001)]
    assert len({id_of(record(b"1")), *map(id_of, others), id_of(record(b"1"), group="other")}) == 4
    event = encode(EVENT)
    twice = [id_of(record(event.value, event.headers, offset=offset)) for offset in (1, 2)]
    assert twice[0] == twice[1], "an event that was published twice is one event"


def test_a_processor_may_have_no_result() -> None:
    assert process([record(b"1")], lambda _: None, group="g", processor_name="p") == []


def test_one_bad_message_does_not_hold_up_the_others() -> None:
    def halve(message: Message) -> float:
        return 1 / message.value

    records = [record(value, offset=offset) for offset, value in enumerate((b"2", b"0", b"{", b"4"))]
    outcomes = process(records, halve, group="g", processor_name="p")
    assert [r.record.value for r in outcomes if isinstance(r, Result)] == [b"0.5", b"0.25"]
    assert [(r.origin.ref.offset, r.reason.partition(":")[0]) for r in outcomes if isinstance(r, Rejected)] == [
        (1, "the processor failed"),
        (2, "not JSON"),
    ]


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), object()])
def test_a_result_that_is_not_json_is_poison(value: object) -> None:
    rejected = outcome(record(b"1"), lambda _: value)
    assert isinstance(rejected, Rejected)
    assert "result is not JSON" in rejected.reason


def test_a_processor_whose_database_is_away_buries_nothing() -> None:
    def asks(_: Message) -> None:
        raise ConnectionRefusedError("database")

    with pytest.raises(ProcessorWaitsError, match=r"orders\[0\]@7: ConnectionRefusedError: database") as caught:
        outcome(record(b"1"), asks)
    assert caught.value.transient


def test_a_processor_is_found_by_its_path() -> None:
    assert load_processor(DEFAULT_PROCESSOR) is pass_through


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("json", "must be module:function"),
        (":dumps", "must be module:function"),
        ("no.such.module:f", "module 'no.such.module' cannot be loaded: ModuleNotFoundError"),
        ("json:no_such", "has no function 'no_such'"),
        ("json:__name__", "has no function '__name__'"),
    ],
)
def test_a_processor_that_cannot_be_used_says_why(path: str, reason: str) -> None:
    with pytest.raises(ProcessorError, match=f"processador: .*{reason}"):
        load_processor(path)


def test_a_processor_with_a_mistake_in_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrong_processor.py").write_text("def f(:")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ProcessorError, match="SyntaxError"):
        load_processor("wrong_processor:f")


def test_each_pair_of_topics_has_its_own_group() -> None:
    existing = ["a", "a.b", "b", "b.c", "c"]
    assert choose_route("a.b", "c", existing).group != choose_route("a", "b.c", existing).group
    assert choose_route("a", "b", existing).group == choose_route("a", "b", existing).group


@pytest.mark.parametrize(
    ("entrada", "saida", "reason"),
    [
        (
            "ordres",
            "results",
            "topico_entrada: there is no topic 'ordres'; known topics: lab.dead-letters, lab.runs, or",
        ),
        ("orders", "resutls", "topico_saida: there is no topic 'resutls'; known topics: .*, orders, results"),
        ("orders", "orders", "topico_saida: is topico_entrada too"),
        ("orders", "lab.runs", "topico_saida: 'lab.runs' carries the lab's own events.*of your own: results"),
        ("lab.dead-letters", "results", "topico_entrada: 'lab.dead-letters' is read by `datalab dlq`"),
    ],
)
def test_a_pair_that_cannot_be_joined_says_which_parameter_and_what_could_be(
    entrada: str, saida: str, reason: str
) -> None:
    with pytest.raises(RouteError, match=reason):
        choose_route(entrada, saida, ["lab.dead-letters", "lab.runs", "orders", "results"])


def test_the_labs_own_events_may_be_the_input() -> None:
    assert choose_route("lab.runs", "results", ["lab.runs", "results"]).entrada == "lab.runs"
