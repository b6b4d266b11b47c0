"""Alerts for `bench.notify`: published at an even rate, each with the time at which it was about to be."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from bench.hook_receiver import Arrival
from bench.notify_lab import NotifyLab
from schemas.alerts import AlertFiring
from schemas.envelope import Event, new_event

# One of so many is critical.
CRITICAL_EVERY = 100


async def publish_alerts(lab: NotifyLab, count: int, *, per_s: int) -> dict[str, float]:
    """Publish alerts at an even rate; returns when each was about to be published, by its event's id."""
    sent: dict[str, float] = {}
    tasks = set()
    begun = time.monotonic()
    for number in range(count):
        if (early := begun + number / per_s - time.monotonic()) > 0:
            await asyncio.sleep(early)
        event = _alert(number)
        sent[event.id] = time.time()
        tasks.add(asyncio.create_task(lab.publisher.publish(event)))
    await asyncio.gather(*tasks)
    return sent


def _alert(number: int) -> Event:
    name = uuid.uuid4().hex
    data = AlertFiring(
        fingerprint=name,
        episode=f"{name}-1",
        rule="quality-gate-failed",
        severity="critical" if number % CRITICAL_EVERY == 0 else "warning",
        summary=f"Quality gate failed for dataset {number}",
        description="37 of 12,154 rows broke the rule close > 0 and were quarantined.",
        labels={"dataset": f"dataset-{number}", "flow": "medallion-etl", "half": "even" if number % 2 == 0 else "odd"},
        starts_at=datetime.now(UTC),
    )
    return new_event(data, source="bench/monitor")


def waits_ms(arrivals: Sequence[Arrival], sent: Mapping[str, float]) -> list[float]:
    """From before the alert was published until the receiver had the request, of the alerts that were sent."""
    return [(a.at - sent[a.event_id]) * 1000 for a in arrivals if a.event_id in sent]


def p95(values: Sequence[float]) -> float:
    """The value that 95 of 100 do not exceed."""
    return sorted(values)[int(len(values) * 0.95)]
