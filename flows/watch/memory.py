"""What is known of every check: its newest event on `lab.services`. The topic is the only store there is."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import ValidationError

from datalab.bus.reader import read_events
from flows.watch.changes import Known
from flows.watch.findings import Subject
from schemas.catalog import parse_data
from schemas.services import ServiceDegraded, ServiceRecovered

# A clock may be wrong by as much. Later events are refused by the monitor too: one would rule until its time has come.
_AHEAD = timedelta(days=1)


async def remembered(bootstrap: str, source: str, now: datetime) -> dict[Subject, Known]:
    """By the time that events happened, not by their arrival; of two at the same time the later one counts. `source`
    is ours. Raises ConnectionError without a broker."""
    known: dict[Subject, Known] = {}
    async for _, event in read_events(bootstrap, [ServiceDegraded.topic]):
        if event.type not in {ServiceDegraded.type, ServiceRecovered.type} or event.time - now > _AHEAD:
            continue
        try:
            data = parse_data(event)
        except ValidationError:  # the monitor has put it into the dead letters
            continue
        assert isinstance(data, ServiceDegraded | ServiceRecovered)
        subject = Subject(data.service, data.check)
        if subject not in known or event.time >= known[subject].said_at:
            failing = isinstance(data, ServiceDegraded)
            known[subject] = Known(failing, data.since, event.time, ours=event.source == source)
    return known
