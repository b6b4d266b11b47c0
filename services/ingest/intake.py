"""Publishing what was accepted: bounded in number and time, and answered only after Kafka's acknowledgement."""

from __future__ import annotations

from datalab.bus.publisher import RecordRef, RecordRefusedError
from datalab.runtime.logs import get_logger
from datalab.runtime.web import Problem
from schemas.envelope import Event
from services.ingest.metrics import EVENTS
from services.ingest.outbox import EventPublisher

log = get_logger(__name__)
RETRY_AFTER_S = 5


class Intake:
    """Takes accepted events. Not more than `max_in_flight` wait for Kafka at once; the next is turned away."""

    def __init__(self, publisher: EventPublisher, max_in_flight: int) -> None:
        self._publisher, self._max_in_flight = publisher, max_in_flight
        self._in_flight = 0

    async def publish(self, event: Event) -> RecordRef:
        """Where the event is now. Raises Problem: 503 while Kafka is away or slow, 413 if it is too large for Kafka."""
        if self._in_flight >= self._max_in_flight:
            raise unavailable(f"{self._in_flight} events wait for Kafka already")
        self._in_flight += 1
        try:
            ref = await self._publisher.publish(event)
        except RecordRefusedError as error:
            EVENTS.labels("refused").inc()
            raise Problem(413, "Content Too Large", f"Kafka does not take the event: {error}") from error
        except OSError as error:
            log.warning("event.unavailable", event_id=event.id, type=event.type, reason=str(error))
            raise unavailable("Kafka does not acknowledge events at the moment") from error
        finally:
            self._in_flight -= 1
        EVENTS.labels("accepted").inc()
        return ref


def unavailable(detail: str) -> Problem:
    """The answer while the event cannot be stored. It may turn up all the same; a repeat under its id is harmless."""
    EVENTS.labels("unavailable").inc()
    detail += "; send it again under the same id"
    return Problem(503, "Service Unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_S)})
