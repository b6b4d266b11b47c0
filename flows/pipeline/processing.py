"""Processing messages by a function that is named in the run's parameters, and results as Kafka records.

A message that cannot be processed is a `Rejected`, with the reason; it never holds up the others.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from datalab.bus.batch import TakenRecord
from datalab.bus.retry import dependency_is_down
from flows.errors import FlowError
from flows.pipeline.messages import Message, PoisonError, read_message
from schemas.codec import EncodedRecord
from schemas.envelope import event_id

Processor = Callable[[Message], Any]
DEFAULT_PROCESSOR = "flows.pipeline.processing:pass_through"


class ProcessorError(FlowError):
    """The processor cannot be used at all."""


class ProcessorWaitsError(FlowError):
    """Something that the processor needs is away; no message is to blame."""

    transient = True


@dataclass(frozen=True)
class Result:
    """A record for the output topic, and the one it was made from."""

    origin: TakenRecord
    record: EncodedRecord


@dataclass(frozen=True)
class Rejected:
    """A record that goes to the dead letters."""

    origin: TakenRecord
    reason: str


def pass_through(message: Message) -> dict[str, Any]:
    """The processor where none is named: the message with where it came from."""
    ref = message.record.ref
    source = {"topic": ref.topic, "partition": ref.partition, "offset": ref.offset, "time": message.time.isoformat()}
    about: dict[str, Any] = {"message": message.value, "key": message.key, "source": source}
    if message.event is not None:
        about["event"] = message.event.model_dump(mode="json", exclude_none=True, exclude={"data"})
    return about


def load_processor(path: str) -> Processor:
    """The function at `module:function`; raises ProcessorError that says what is wrong with it."""
    name, _, function = path.partition(":")
    if not name or not function:
        raise ProcessorError(f"processador: {path!r} must be module:function, such as {DEFAULT_PROCESSOR}")
    try:
        module = importlib.import_module(name)
    except Exception as error:
        raise ProcessorError(f"processador: module {name!r} cannot be loaded: {_named(error)}") from error
    found = getattr(module, function, None)
    if not callable(found):
        raise ProcessorError(f"processador: {name!r} has no function {function!r}")
    return found  # type: ignore[no-any-return]  # looked up by name, and callable


def process(
    records: Iterable[TakenRecord], processor: Processor, *, group: str, processor_name: str
) -> list[Result | Rejected]:
    """The outcome of each record, in order. A record for which the processor returns None has none.

    Raises ProcessorWaitsError where the processor says that something it needs is away.
    """
    outcomes: list[Result | Rejected] = []
    for record in records:
        try:
            message = read_message(record)
            value = _processed(processor, message)
            if value is not None:
                outcomes.append(Result(record, _encode(message, value, group, processor_name)))
        except PoisonError as error:
            outcomes.append(Rejected(record, str(error)))
    return outcomes


def _processed(processor: Processor, message: Message) -> Any:
    try:
        return processor(message)
    except Exception as error:
        if dependency_is_down(error):
            raise ProcessorWaitsError(f"the processor failed at {message.record.ref}: {_named(error)}") from error
        raise PoisonError(f"the processor failed: {_named(error)}") from error


def _encode(message: Message, value: Any, group: str, processor_name: str) -> EncodedRecord:
    """The result as JSON under the key of its source, so that order per key holds; its headers name the source. The
    id follows from message, group and processor: a repeat has the same."""
    try:
        body = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PoisonError(f"the processor's result is not JSON: {error}") from error
    ref, event = message.record.ref, message.event
    about = {
        "id": event_id("kafka-pipeline", group, processor_name, *message.identity),
        "source_topic": ref.topic,
        "source_partition": str(ref.partition),
        "source_offset": str(ref.offset),
        "processor": processor_name,
    }
    if event is not None:
        about |= {"causationid": event.id, "correlationid": event.correlation}
    headers = [("content-type", b"application/json")]
    headers += [(f"datalab_{name}", text.encode()) for name, text in about.items()]
    return EncodedRecord(message.record.key, body, headers)


def _named(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]
