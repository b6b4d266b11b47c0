"""The guide's Kafka pipeline and what it cannot take: poison is put aside, what is away or wrong ends it plainly."""

from __future__ import annotations

import pytest
from prefect.exceptions import ParameterTypeError

from flows.errors import FlowError, KafkaUnavailableError
from flows.kafka_pipeline_flow import pipeline_kafka
from flows.pipeline.processing import ProcessorWaitsError
from tests.integration.flows.kafka_pipeline.conftest import NewTopic, Put, dead_letters, lag, values
from tests.integration.flows.kafka_pipeline.processors import HERE


async def test_poison_goes_to_the_dead_letters_with_its_reason_and_holds_up_nothing(
    kafka_bootstrap: str, new_topic: NewTopic, put: Put
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


async def test_a_result_that_kafka_refuses_is_poison_too(kafka_bootstrap: str, new_topic: NewTopic, put: Put) -> None:
    source, target = await new_topic(), await new_topic()
    await put(source, b'"' + b"x" * 1_048_300 + b'"', 1)
    # Where it came from makes it larger than Kafka's limit.
    assert pipeline_kafka(source, target, espera_s=0) == 1
    assert "Kafka refuses the result" in (await dead_letters(kafka_bootstrap, source))[0]


async def test_a_processor_that_waits_for_something_fails_the_run_and_buries_nothing(
    kafka_bootstrap: str, new_topic: NewTopic, put: Put
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
