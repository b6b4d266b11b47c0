"""Example messages: what a receiver would get, and sending it one, so that nobody waits for trouble to find a typing
mistake in an address."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from datalab.runtime.clock import Clock
from schemas.alerts import AlertFiring, AlertResolved, Severity
from schemas.envelope import Event, event_id, new_event
from services.notifier.bundles import Note, Notice
from services.notifier.delivery import Channel, Delivery, Target
from services.notifier.ledger import Ledger
from services.notifier.planned import Alert, Planned, receiver_key

_TEST = Notice(note=Note(kind="test"))


def example(clock: Clock, severity: Severity = "warning", *, resolved: bool = False) -> Alert:
    """An alert that nothing has raised."""
    now, mark = clock.now(), uuid.uuid4().hex[:12]
    values: dict[str, Any] = {
        "fingerprint": f"example-{mark}",
        "episode": f"example-{mark}-1",
        "rule": "example",
        "severity": severity,
        "summary": "An example: 37 of 12,154 rows of stocks break close > 0",
        "description": "This is what an alert looks like.",
        "labels": {"dataset": "stocks"},
        "starts_at": now - timedelta(minutes=12),
    }
    return AlertResolved(**values, ends_at=now) if resolved else AlertFiring(**values)


class Trials:
    """Previews and test messages of receivers."""

    def __init__(
        self, targets: Mapping[str, Target], channels: Mapping[str, Channel], ledger: Ledger, clock: Clock
    ) -> None:
        self.targets, self._channels, self._ledger, self._clock = targets, channels, ledger, clock

    async def preview(self, target: Target, alert: Alert | None) -> dict[str, Any]:
        """What the receiver would get of the alert, or of an example."""
        event = self._event(alert or example(self._clock))
        delivery = Delivery(
            "preview", event, target.channel, target.name, receiver_key(target.name), None, 1, 1, notice=None
        )
        return await self._channels[target.channel].preview(delivery, target)

    async def send(self, target: Target) -> str:
        """Store a test message to the receiver, past routes, silences and its queue; returns the delivery's id."""
        event, key = self._event(example(self._clock)), receiver_key(target.name)
        planned = Planned(
            event_id(event.id, target.channel, key),
            target.channel,
            target.name,
            key,
            notice=_TEST.model_dump(mode="json"),
        )
        await self._ledger.store_for(event, planned)
        return planned.id

    def _event(self, alert: Alert) -> Event:
        return new_event(alert, source="datalab/notifier", time=self._clock.now())
