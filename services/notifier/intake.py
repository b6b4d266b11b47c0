"""The receiving side: turns an event into stored deliveries. The consumer commits the offset after it returns."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from datalab.bus.publisher import RecordRef
from datalab.bus.retry import PermanentError
from datalab.runtime.logs import get_logger
from schemas.alerts import AlertFiring, AlertResolved
from schemas.catalog import EVENT_TYPES, parse_data
from schemas.envelope import Event
from services.notifier.in_force import NotifyInForce
from services.notifier.ledger import Ledger
from services.notifier.planned import Alert

log = get_logger(__name__)


def subscribed_topics() -> list[str]:
    """Every topic that carries events: any of them may be subscribed to."""
    return sorted({model.topic for model in EVENT_TYPES.values()})


class Intake:
    """Handles each event at least once; a repeat stores nothing new, since delivery ids are deterministic."""

    def __init__(self, ledger: Ledger, in_force: NotifyInForce, wake: Callable[[], None]) -> None:
        self._ledger, self._in_force, self._wake = ledger, in_force, wake

    async def handle(self, event: Event, ref: RecordRef) -> None:
        """Store what the event is due; raises PermanentError for an alert that cannot be read."""
        await self._store([(event, read_alert(event), ref)])

    async def prepare(self, batch: Sequence[tuple[Event, RecordRef]]) -> set[RecordRef]:
        """Store what lies ahead in one transaction; what cannot be read is left to `handle`, which says why."""
        readable = []
        for event, ref in batch:
            with contextlib.suppress(PermanentError):
                readable.append((event, read_alert(event), ref))
        await self._store(readable)
        return {ref for _, _, ref in readable}

    async def _store(self, received: Sequence[tuple[Event, Alert | None, RecordRef]]) -> None:
        stored = await self._ledger.store([(event, alert) for event, alert, _ in received], self._in_force.routing)
        if stored:
            self._wake()
        for event, alert, ref in received:
            if (count := stored[event.id]) or alert:
                log.info("event.received", event_id=event.id, type=event.type, at=str(ref), deliveries=count)


def read_alert(event: Event) -> Alert | None:
    """The alert in the event; None if it is about something else."""
    if event.type not in (AlertFiring.type, AlertResolved.type):
        return None
    try:
        alert = parse_data(event)
    except ValidationError as error:
        fields = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise PermanentError(f"the alert does not fit its schema: {fields}") from error
    return alert if isinstance(alert, Alert) else None
