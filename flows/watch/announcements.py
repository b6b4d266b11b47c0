"""Telling the lab what a look found: changes first, then measurements, all acknowledged. Ids follow from the look, so
that a repeat is recognised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from datalab.bus.publisher import Publisher
from flows.errors import KafkaUnavailableError
from flows.trace import Trace
from flows.watch.changes import Change, Kind, Known, changes
from flows.watch.findings import Measurement, Subject
from flows.watch.look import Look
from flows.watch.memory import remembered
from schemas.envelope import Event
from schemas.metrics import MetricSampled
from schemas.services import ServiceDegraded, ServiceHeartbeat, ServiceRecovered

SOURCE = "/flows/monitoring"
HEARTBEAT = "monitoring"


class NobodyToldError(KafkaUnavailableError):
    """Kafka took nothing, so that nobody hears of what was found but through the state of this run."""

    def __init__(self, error: Exception, look: Look) -> None:
        found = "; ".join(f"{check.subject}: {check.reason}" for check in look.findings) or "nothing else is wrong"
        super().__init__(f"{error}. Nobody could be told what this run found: {found}")


@dataclass(frozen=True)
class Told:
    """What was published, and since when each failing check fails."""

    changes: tuple[Change, ...]
    since: Mapping[Subject, datetime]
    measurements: int


async def announce(bootstrap: str, look: Look, trace: Trace) -> Told:
    """Publish what changed since the last look, and all measurements; raises NobodyToldError, and may then be called
    again: what was published by then is known, or has the same id."""
    try:
        known = await remembered(bootstrap, SOURCE, look.at)
        found = changes(look.checks, known, look.at, unseen=look.unseen)
        async with Publisher(bootstrap, "flows.monitoring", request_timeout_s=10.0) as publisher:
            await publisher.publish_many(changed(trace, change, look.at) for change in found)
            measured = await publisher.publish_many(sampled(trace, value, look.at) for value in look.measurements)
            await publisher.publish(alive(trace, look.at))
    except (ConnectionError, TimeoutError) as error:
        raise NobodyToldError(error, look) from error
    return Told(tuple(found), _since(look, known, found), len(measured))


def changed(trace: Trace, change: Change, at: datetime) -> Event:
    """lab.service.degraded or recovered, at the time of the look."""
    model = ServiceRecovered if change.kind is Kind.RECOVERED else ServiceDegraded
    service, check = change.subject
    data = model(service=service, check=check, reason=change.reason, since=change.since)
    return trace.event(SOURCE, data, *change.identity).model_copy(update={"time": at})


def sampled(trace: Trace, value: Measurement, at: datetime) -> Event:
    """lab.metric.sampled, at the time of the look."""
    labels = {**value.labels, **({} if value.group is None else {"group": value.group})}
    data = MetricSampled(of=value.of, name=value.name, value=value.value, unit=value.unit, labels=labels)
    identity = (trace.run_id or "", at.isoformat(), value.of, value.name, value.group or "")
    return trace.event(SOURCE, data, *identity).model_copy(update={"time": at})


def alive(trace: Trace, at: datetime) -> Event:
    """lab.service.heartbeat: this look came to its end, so that Prefect, a worker and Kafka work. Its absence is the
    lab's dead man's switch."""
    data = ServiceHeartbeat(service=HEARTBEAT)
    return trace.event(SOURCE, data, "heartbeat", trace.run_id or "", at.isoformat()).model_copy(update={"time": at})


def _since(look: Look, known: Mapping[Subject, Known], found: list[Change]) -> dict[Subject, datetime]:
    begun = {change.subject: change.since for change in found}
    before = {subject: fact.since for subject, fact in known.items()}
    return {check.subject: (before | begun)[check.subject] for check in look.findings}
