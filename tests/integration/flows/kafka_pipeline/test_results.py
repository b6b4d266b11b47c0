"""The guide's Kafka pipeline on a real broker: nothing lost, repeats recognisable."""

from __future__ import annotations

import signal
import time
import uuid
from collections import Counter

import pytest
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName

from datalab.bus.publisher import Publisher, RecordRef
from datalab.runtime.settings import PROJECT_ROOT
from flows import kafka_pipeline_flow
from flows.errors import KafkaUnavailableError
from flows.kafka_pipeline_flow import pipeline_kafka
from schemas.codec import EncodedRecord, encode
from schemas.envelope import new_event
from schemas.metrics import MetricSampled
from tests.integration.flows.kafka_pipeline.conftest import NewTopic, Put, ids, lag, python, values
from tests.integration.flows.kafka_pipeline.processors import HERE
from tests.support.polling import eventually


async def test_messages_are_processed_published_and_not_taken_again(
    kafka_bootstrap: str, new_topic: NewTopic, put: Put
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
    put: Put,
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
    kafka_bootstrap: str, new_topic: NewTopic, put: Put
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
    put: Put,
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


async def test_its_tasks_have_the_guides_names(new_topic: NewTopic, put: Put) -> None:
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


async def test_it_is_a_plain_function_from_inside_flows(kafka_bootstrap: str, new_topic: NewTopic, put: Put) -> None:
    source, target = await new_topic(), await new_topic()
    await put(source, {"n": 1}, {"n": 2})
    code = f"from kafka_pipeline_flow import pipeline_kafka; print(pipeline_kafka({source!r}, {target!r}, limite=2))"
    answer = python("-c", code, cwd=PROJECT_ROOT / "flows")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["2"]
    assert len(await values(kafka_bootstrap, target)) == 2
