"""Kafka to Kafka: take messages of one topic, process them, publish the results on another.

Offsets move only after Kafka has acknowledged the results, so a run that is killed anywhere loses nothing: the next
one repeats what was not committed, and its results have the same `datalab_id` header. This module only orders the
steps and retries them; what they do is in `flows.pipeline` and `datalab.bus`.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from pathlib import Path

if __package__ in {None, ""}:  # loaded as a file: by Prefect, or from inside flows/
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prefect import flow, get_run_logger, task

from datalab.bus.batch import Batch, TakenRecord
from datalab.bus.deadletters import KafkaDeadLetters
from datalab.bus.faults import Fault
from datalab.bus.inspection import topic_names
from datalab.bus.loop_thread import LoopThread
from datalab.bus.publisher import Publisher, RecordRefusedError
from flows.config import FlowSettings
from flows.errors import FlowError, kafka_errors
from flows.pipeline.processing import DEFAULT_PROCESSOR, Rejected, Result, load_processor, process
from flows.pipeline.route import Route, choose_route
from flows.runs import task_options
from flows.usage import HOOKS

_TASK = task_options()
# Records that one round of the three tasks takes: what a killed run repeats, and holds in memory, stays bounded.
ROUND = 500


class Pipeline:
    """What all steps of a run share. Not a dataclass: Prefect would walk through all of it for each task."""

    def __init__(self, kafka: str, route: Route, loop: LoopThread, processor: str, idle_s: float) -> None:
        self.route, self.loop, self.idle_s = route, loop, idle_s
        self.processor_name, self.processor = processor, load_processor(processor)
        self.batch = Batch(kafka, route.group, route.entrada)
        self.publisher = Publisher(kafka, "flows.kafka-pipeline", connect_later=True)


class Messages:
    """What a round took, and what became of it. Not a list: Prefect would walk through each message."""

    def __init__(self, taken: list[TakenRecord]) -> None:
        self.taken = taken
        self.outcomes: list[Result | Rejected] = []


@flow(name="kafka-pipeline", description=__doc__, retries=0, persist_result=False, **HOOKS)
def pipeline_kafka(
    topico_entrada: str,
    topico_saida: str,
    limite: int = 100,
    espera_s: float = 10.0,
    processador: str = DEFAULT_PROCESSOR,
) -> int:
    """Process at most `limite` messages of `topico_entrada`; returns how many results are on `topico_saida`.

    It ends at `limite`, or when no message came for `espera_s` seconds and none is left. `processador` names a
    function, `module:function`, that is given each `flows.pipeline.messages.Message` and returns the result as
    JSON-compatible data, or None for no result. What cannot be processed goes to the dead letters.
    Raises FlowError with a plain message.
    """
    for name, value in (("limite", limite), ("espera_s", espera_s)):
        if not value >= 0:
            raise FlowError(f"{name}: must be 0 or more, is {value}")
    kafka, log = FlowSettings().kafka_bootstrap_servers, get_run_logger()
    with ExitStack() as resources:
        loop = resources.enter_context(LoopThread("kafka-pipeline"))
        route = find_route(kafka, topico_entrada, topico_saida, loop)
        pipeline = Pipeline(kafka, route, loop, processador, espera_s)
        loop.enter(pipeline.publisher, resources)
        loop.enter(pipeline.batch, resources)
        taken = published = 0
        while taken < limite:
            wanted = min(ROUND, limite - taken)
            messages = consumir_kafka(pipeline, wanted)
            if messages.taken:
                published += publicar_resultados(pipeline, processar_mensagens(pipeline, messages))
            taken += len(messages.taken)
            if len(messages.taken) < wanted:
                break
    log.info("%d messages of %s taken, %d results on %s", taken, topico_entrada, published, topico_saida)
    return published


@task(name="Encontrar Tópicos", **_TASK)
def find_route(kafka: str, entrada: str, saida: str, loop: LoopThread) -> Route:
    """Both topics must exist: Kafka makes none by itself, and a misspelt name would wait for ever."""
    with kafka_errors():
        existing = loop.run(topic_names(kafka))
    return choose_route(entrada, saida, existing)


@task(name="Consumir Mensagens Kafka", **_TASK)
def consumir_kafka(pipeline: Pipeline, limite: int) -> Messages:
    """Take at most `limite` messages; nothing is committed."""
    with kafka_errors():
        return Messages(pipeline.loop.run(pipeline.batch.take(limite, pipeline.idle_s)))


@task(name="Processar Mensagens", **_TASK)
def processar_mensagens(pipeline: Pipeline, messages: Messages) -> Messages:
    """Give each message to the processor."""
    messages.outcomes = process(
        messages.taken, pipeline.processor, group=pipeline.route.group, processor_name=pipeline.processor_name
    )
    return messages


@task(name="Publicar Resultados", **_TASK)
def publicar_resultados(pipeline: Pipeline, messages: Messages) -> int:
    """Publish the results, and what is poison to the dead letters; commit when Kafka has acknowledged all of it."""
    with kafka_errors():
        rejected, published = pipeline.loop.run(_publish(pipeline, messages.outcomes))
        lost = pipeline.loop.run(pipeline.batch.commit())
    log = get_run_logger()
    for letter in rejected:
        log.warning("%s went to the dead letters: %s", letter.origin.ref, letter.reason)
    if lost:
        log.warning("partitions %s went to another run meanwhile, which repeats their messages", ", ".join(lost))
    return published


async def _publish(pipeline: Pipeline, outcomes: list[Result | Rejected]) -> tuple[list[Rejected], int]:
    """All at once, in order; returns what went to the dead letters, and how many results Kafka has."""
    letters = KafkaDeadLetters(pipeline.publisher)

    async def deliver(outcome: Result | Rejected) -> Rejected | None:
        if isinstance(outcome, Result):
            try:
                await pipeline.publisher.publish_record(pipeline.route.saida, outcome.record)
            except RecordRefusedError as error:
                outcome = Rejected(outcome.origin, f"Kafka refuses the result: {error}")
            else:
                return None
        fault = Fault(pipeline.route.group, outcome.reason)
        await letters.bury(outcome.origin.ref, fault, outcome.origin.encoded())
        return outcome

    # Each to its end, also when one fails: none may still be on its way while the task is tried again.
    delivered = await asyncio.gather(*(deliver(outcome) for outcome in outcomes), return_exceptions=True)
    for outcome in delivered:
        if isinstance(outcome, BaseException):
            raise outcome
    rejected = [outcome for outcome in delivered if isinstance(outcome, Rejected)]
    return rejected, len(delivered) - len(rejected)


if __name__ == "__main__":
    pipeline_kafka(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 100)
