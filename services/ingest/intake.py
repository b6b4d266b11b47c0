"""Publishing what was accepted: bounded in number and time, and answered only after Kafka's acknowledgement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from datalab.bus.publisher import RecordRef, RecordRefusedError
from datalab.runtime.logs import get_logger
from datalab.runtime.web import Problem
from schemas.codec import EncodedRecord
from services.ingest.acceptance import Draft
from services.ingest.metrics import EVENTS

log = get_logger(__name__)
RETRY_AFTER_S = 5
Published = RecordRef | Problem


class RecordPublisher(Protocol):
    """Where records go; returns only once they are stored, each with its place or the reason why it is not."""

    async def publish_all(self, records: Sequence[tuple[str, EncodedRecord]]) -> list[RecordRef | Exception]:
        """Publish in this order. Does not raise for what a broker or a record is to blame for."""


class Intake:
    """Takes accepted events. Not more than `max_in_flight` wait for Kafka at once; the next is turned away."""

    def __init__(self, publisher: RecordPublisher, max_in_flight: int) -> None:
        self._publisher, self._max_in_flight = publisher, max_in_flight
        self._in_flight = 0

    async def publish(self, drafts: Sequence[Draft]) -> list[Published]:
        """Where each event is now, or the problem with it: 503 while Kafka is away or slow, 413 if it is too large."""
        if not drafts:
            return []
        if self._in_flight + len(drafts) > self._max_in_flight:
            EVENTS.labels("unavailable").inc(len(drafts))
            return [_unavailable(f"{self._in_flight} events wait for Kafka already")] * len(drafts)
        self._in_flight += len(drafts)
        try:
            outcomes = await self._publisher.publish_all([(draft.topic, draft.record) for draft in drafts])
        finally:
            self._in_flight -= len(drafts)
        errors = [outcome for outcome in outcomes if not isinstance(outcome, RecordRef)]
        EVENTS.labels("accepted").inc(len(outcomes) - len(errors))
        if away := [str(error) for error in errors if isinstance(error, OSError)]:
            EVENTS.labels("unavailable").inc(len(away))
            log.warning("events.unavailable", types=sorted({draft.type for draft in drafts}), reasons=sorted(set(away)))
        return [_published(outcome) for outcome in outcomes] if errors else cast("list[Published]", outcomes)


def _published(outcome: RecordRef | Exception) -> Published:
    if isinstance(outcome, RecordRef):
        return outcome
    if isinstance(outcome, RecordRefusedError):
        return Problem(413, "Content Too Large", f"Kafka does not take the event: {outcome}")
    if isinstance(outcome, OSError):
        return _unavailable("Kafka does not acknowledge events at the moment")
    raise outcome


def _unavailable(detail: str) -> Problem:
    """The answer while the event cannot be stored. It may turn up all the same; a repeat under its id is harmless."""
    detail += "; send it again under the same id"
    return Problem(503, "Service Unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_S)})
