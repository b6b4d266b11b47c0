"""Kafka: the message as an event on `lab.notifications`, for whatever reads topics rather than webhooks."""

from __future__ import annotations

from typing import Any

from datalab.bus.publisher import Publisher
from schemas.alerts import AlertResolved
from schemas.catalog import parse_data
from schemas.envelope import Event, new_event
from schemas.notifications import NotificationAnnounced
from services.notifier.delivery import Delivery, Result, Target
from services.notifier.messages import Phrasebook
from services.notifier.planned import Alert


class KafkaChannel:
    """Publishes under an id that follows from the delivery's, so that a repeat is recognisable."""

    def __init__(self, publisher: Publisher, phrases: Phrasebook) -> None:
        self._publisher, self._phrases = publisher, phrases

    async def send(self, delivery: Delivery, target: Target) -> Result:
        """Publish once; acknowledged by all replicas is delivered. A fault of Kafka's is tried again."""
        await self._publisher.publish(self.announcement(delivery, target))
        return Result(True)

    async def preview(self, delivery: Delivery, target: Target) -> dict[str, Any]:
        """The event that would be published."""
        return {"event": self.announcement(delivery, target).model_dump(mode="json", exclude_none=True)}

    def announcement(self, delivery: Delivery, target: Target) -> Event:
        """The event."""
        alert = parse_data(delivery.event)
        if not isinstance(alert, Alert):
            raise ValueError(f"{delivery.event.type} is not an alert")  # noqa: TRY004 - of the event, not of the code
        message = self._phrases.in_language(target.language).told(delivery.event, delivery.notice)
        note = delivery.notice.note if delivery.notice else None
        data = NotificationAnnounced(
            delivery_id=delivery.id,
            channel="kafka",
            target=target.name,
            event_id=delivery.event.id,
            fingerprint=alert.fingerprint,
            reason=note.kind if note else "resolved" if isinstance(alert, AlertResolved) else "firing",
            rule=alert.rule,
            severity=alert.severity,
            title=message.headline,
            description=alert.description,
            note=message.note,
            labels=alert.labels,
            starts_at=alert.starts_at,
            ends_at=alert.ends_at,
        )
        return new_event(
            data, source="datalab/notifier", id=delivery.id, cause=delivery.event, time=delivery.event.time
        )
