"""The guide's Kafka pipeline on a real broker: nothing lost, repeats recognisable, poison put aside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.exceptions import ParameterTypeError

from datalab.bus.inspection import inspect_bus
from datalab.bus.publisher import Publisher, RecordRef
from datalab.bus.reader import read_records
from datalab.bus.topics import ensure_topics
from datalab.runtime.settings import PROJECT_ROOT
from flows import kafka_pipeline_flow
from flows.errors import FlowError, KafkaUnavailableError
from flows.kafka_pipeline_flow import pipeline_kafka
from flows.pipeline.messages import Message
from flows.pipeline.processing import ProcessorWaitsError
from schemas.catalog import DEAD_LETTERS, TopicSpec
from schemas.codec import EncodedRecord, encode
from schemas.envelope import new_event
from schemas.metrics import MetricSampled
from tests.support.flow_runs import flow_environment
from tests.support.polling import eventually

HERE = __name__
NewTopic = Callable[..., Awaitable[str]]


@pytest.fixture(autouse=True)
def environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kafka_bootstrap: str, prefect_api_url: str
) -> Iterator[None]:
    environ = {"DATALAB_HOME": str(tmp_path), "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap}
    with flow_environment(monkeypatch, kafka_pipeline_flow, prefect_api_url, environ):
        yield


@pytest.fixture
def new_topic(kafka_bootstrap: str) -> NewTopic:
    async def create(partitions: int = 1) -> str:
        name = f"pedidos.{uuid.uuid4().hex[:10]}"
        spec = TopicSpec(name=name, owner="t", key="any", description="", partitions=partitions, retention_hours=1)
        await ensure_topics(kafka_bootstrap, [spec])
        return name

    return create


@pytest.fixture
def put(kafka_bootstrap: str) -> Callable[..., Awaitable[None]]:
    async def publish(topic: str, *values: bytes | dict[str, Any] | int) -> None:
        async with Publisher(kafka_bootstrap, "test") as publisher:
            for value in values:
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                await publisher.publish_record(topic, EncodedRecord(b"k", body, []))

    return publish


async def values(bootstrap: str, topic: str) -> list[Any]:
    return [json.loads(record.value) async for record in read_records(bootstrap, [topic])]


async def ids(bootstrap: str, topic: str) -> list[str]:
    return [dict(r.headers)["datalab_id"].decode() async for r in read_records(bootstrap, [topic])]


async def dead_letters(bootstrap: str, topic: str) -> dict[int, str]:
    """Offset and reason of what was buried from the topic."""
    letters = [dict(r.headers) async for r in read_records(bootstrap, [DEAD_LETTERS])]
    ours = [h for h in letters if h.get("dlq_topic") == topic.encode()]
    return {int(h["dlq_offset"]): h["dlq_reason"].decode() for h in ours}


async def lag(bootstrap: str, topic: str) -> list[int]:
    return [group.lag for group in (await inspect_bus(bootstrap)).groups if group.topic == topic]


def python(*arguments: str, cwd: Path = PROJECT_ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=200, check=False
    )


def only_value(message: Message) -> Any:
    return message.value


def double(message: Message) -> dict[str, int] | None:
    """Doubles `n`; none for an odd one."""
    n = message.value["n"]
    return None if n % 2 else {"n": 2 * n}


def needs_what_is_away(_: Message) -> None:
    raise ConnectionRefusedError("the price list")


async def test_messages_are_processed_published_and_not_taken_again(
    kafka_bootstrap: str, new_topic: NewTopic, put: Callable[..., Awaitable[None]]
) -> None:
    source, target = await new_topic(), await new_topic()
    event = new_event(MetricSampled(of="a", name="n", value=4, unit="1", labels={}), source="test")
    await put(source, {"n": 2}, {"n": 3}, {"n": 4})

    assert pipeline_kafka(source, target, espera_s=0, processador=f"{HERE}:double") == 2
    assert await values(kafka_bootstrap, target) == [{"n": 4}, {"n": 8}]
    async with Publisher(kafka_bootstrap, "test") as publisher:
        await publisher.publish_record(source, encode(event))
    assert pipeline_kafka(source, target, espera_s=0) == 1
    last = (await values(kafka_bootstrap, target))[-1]
    assert (last["message"], last["event"]["id"]) == (event.data, event.id)
    assert last["source"]["offset"] == 3
    assert await lag(kafka_bootstrap, source) == [0]


async def test_it_stops_at_the_limit_and_the_next_run_goes_on_there(
    kafka_bootstrap: str,
    new_topic: NewTopic,
    put: Callable[..., Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, target = await new_topic(), await new_topic()
    await put(source, *range(8))
    monkeypatch.setattr(kafka_pipeline_flow, "ROUND", 2)

    # The limit is reached, so nothing is waited for.
    started = time.monotonic()
    assert pipeline_kafka(source, target, limite=5, espera_s=60, processador=f"{HERE}:only_value") == 5
    assert time.monotonic() - started < 30
    assert await lag(kafka_bootstrap, source) == [3]
    assert pipeline_kafka(source, target, limite=0, processador=f"{HERE}:only_value") == 0
    assert pipeline_kafka(source, target, espera_s=0, processador=f"{HERE}:only_value") == 3
    assert await values(kafka_bootstrap, target) == list(range(8))


async def test_an_empty_topic_ends_the_run_when_nothing_came_in_time(new_topic: NewTopic) -> None:
    source, target = await new_topic(), await new_topic()
    started = time.monotonic()
    assert pipeline_kafka(source, target, espera_s=1) == 0
    assert 1 <= time.monotonic() - started < 20


KILLED_AT_COMMIT = """
import os, signal, sys
from datalab.bus.batch import Batch
from flows.kafka_pipeline_flow import pipeline_kafka

async def commit(self):
    os.kill(os.getpid(), signal.SIGKILL)

Batch.commit = commit
pipeline_kafka(sys.argv[1], sys.argv[2], espera_s=0)
"""


async def test_killed_between_publishing_and_commit_the_repeat_has_the_same_ids(
    kafka_bootstrap: str, new_topic: NewTopic, put: Callable[..., Awaitable[None]]
) -> None:
    source, target = await new_topic(partitions=2), await new_topic()
    await put(source, 1, 2, 3)

    assert python("-c", KILLED_AT_COMMIT, source, target).returncode == -signal.SIGKILL
    published = await ids(kafka_bootstrap, target)
    assert len(set(published)) == 3
    assert await lag(kafka_bootstrap, source) == [], "the group has committed nothing"

    # The killed member is still in the group, for as long as its session lasts: the topic must not look empty.
    assert pipeline_kafka(source, target, espera_s=0) == 3
    assert Counter(await ids(kafka_bootstrap, target)) == dict.fromkeys(published, 2)
    assert await lag(kafka_bootstrap, source) == [0]
    assert pipeline_kafka(source, target, espera_s=0) == 0


async def test_nothing_is_committed_when_kafka_does_not_take_the_results(
    kafka_bootstrap: str,
    new_topic: NewTopic,
    put: Callable[..., Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, target = await new_topic(), await new_topic()
    await put(source, 1, 2)
    publish_record, failures = Publisher.publish_record, iter([True, True, True])

    async def refuse(self: Publisher, topic: str, record: EncodedRecord, partition: int | None = None) -> RecordRef:
        if topic == target and record.value == b"2" and next(failures, False):
            raise ConnectionError("Kafka does not take records for results")
        return await publish_record(self, topic, record, partition)

    monkeypatch.setattr(Publisher, "publish_record", refuse)
    with pytest.raises(KafkaUnavailableError, match="Kafka does not take records for results"):
        pipeline_kafka(source, target, espera_s=0, processador=f"{HERE}:only_value")
    assert await lag(kafka_bootstrap, source) == []
    # The outage is over: both are processed by the next run, and the first is a repeat that shows.
    assert pipeline_kafka(source, target, espera_s=0, processador=f"{HERE}:only_value") == 2
    assert len(set(await ids(kafka_bootstrap, target))) == 2


async def test_poison_goes_to_the_dead_letters_with_its_reason_and_holds_up_nothing(
    kafka_bootstrap: str, new_topic: NewTopic, put: Callable[..., Awaitable[None]]
) -> None:
    source, target = await new_topic(), await new_topic()
    await put(source, {"n": 2}, b"no json", {"m": 1}, {"n": 4}, b"9" * 7000)

    assert pipeline_kafka(source, target, espera_s=0, processador=f"{HERE}:double") == 2

    assert await values(kafka_bootstrap, target) == [{"n": 4}, {"n": 8}]
    reasons = await dead_letters(kafka_bootstrap, source)
    assert {offset: reason.split(":")[0] for offset, reason in reasons.items()} == {
        1: "not JSON",
        2: "the processor failed",
        4: "not JSON",
    }
    assert "KeyError: 'n'" in reasons[2]
    assert await lag(kafka_bootstrap, source) == [0]


async def test_a_result_that_kafka_refuses_is_poison_too(
    kafka_bootstrap: str, new_topic: NewTopic, put: Callable[..., Awaitable[None]]
) -> None:
    source, target = await new_topic(), await new_topic()
    await put(source, b'"' + b"x" * 1_048_300 + b'"', 1)
    # Where it came from makes it larger than Kafka's limit.
    assert pipeline_kafka(source, target, espera_s=0) == 1
    assert "Kafka refuses the result" in (await dead_letters(kafka_bootstrap, source))[0]


async def test_a_processor_that_waits_for_something_fails_the_run_and_buries_nothing(
    kafka_bootstrap: str, new_topic: NewTopic, put: Callable[..., Awaitable[None]]
) -> None:
    source, target = await new_topic(), await new_topic()
    await put(source, 1)
    with pytest.raises(ProcessorWaitsError, match=r"\[0\]@0: ConnectionRefusedError: the price list"):
        pipeline_kafka(source, target, espera_s=0, processador=f"{HERE}:needs_what_is_away")
    assert await dead_letters(kafka_bootstrap, source) == {}
    assert pipeline_kafka(source, target, espera_s=0) == 1


async def test_wrong_parameters_are_named_plainly(new_topic: NewTopic) -> None:
    source, target = await new_topic(), await new_topic()
    with pytest.raises(FlowError, match="limite: must be 0 or more, is -1"):
        pipeline_kafka(source, target, limite=-1)
    with pytest.raises(FlowError, match="espera_s: must be 0 or more, is nan"):
        pipeline_kafka(source, target, espera_s=float("nan"))
    for wrong in ("many", 1.5):
        with pytest.raises(ParameterTypeError, match="limite: Input should be a valid integer"):
            pipeline_kafka(source, target, limite=wrong)
    with pytest.raises(FlowError, match=f"topico_entrada: there is no topic 'no-such'; known topics: .*{source}"):
        pipeline_kafka("no-such", target)
    with pytest.raises(FlowError, match=r"topico_saida: there is no topic .*lab\.runs"):
        pipeline_kafka(source, "no-such")
    with pytest.raises(FlowError, match="processador: 'json' must be module:function"):
        pipeline_kafka(source, target, processador="json")


def test_without_a_broker_the_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with pytest.raises(KafkaUnavailableError, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        pipeline_kafka("a", "b")


async def test_its_tasks_have_the_guides_names(new_topic: NewTopic, put: Callable[..., Awaitable[None]]) -> None:
    source, target = await new_topic(), await new_topic()
    await put(source, 1)
    name = f"named-{uuid.uuid4().hex[:8]}"
    named: Flow[..., int] = pipeline_kafka.with_options(flow_run_name=name)
    assert named(source, target, espera_s=0) == 1
    wanted = {"Consumir Mensagens Kafka", "Processar Mensagens", "Publicar Resultados"}

    async def done() -> set[str]:
        async with get_client() as client:
            runs = await client.read_task_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name])))
        return {run.name.rpartition("-")[0] for run in runs}

    # Prefect stores what is told of tasks a little later than it takes it.
    await eventually(done, until=lambda names: names >= wanted)


async def test_it_is_a_plain_function_from_inside_flows(
    kafka_bootstrap: str, new_topic: NewTopic, put: Callable[..., Awaitable[None]]
) -> None:
    source, target = await new_topic(), await new_topic()
    await put(source, {"n": 1}, {"n": 2})
    code = f"from kafka_pipeline_flow import pipeline_kafka; print(pipeline_kafka({source!r}, {target!r}, limite=2))"
    answer = python("-c", code, cwd=PROJECT_ROOT / "flows")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["2"]
    assert len(await values(kafka_bootstrap, target)) == 2
