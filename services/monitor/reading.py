"""From a record to what happened, or why it can never be handled. Pure but for the clock's time that it is given."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from pydantic import ValidationError

from datalab.bus.batch import TakenRecord
from datalab.runtime.logs import get_logger
from schemas.catalog import EVENT_TYPES, parse_data
from schemas.codec import CodecError, decode
from schemas.envelope import Event, EventData
from services.monitor import metrics
from services.monitor.timeliness import FutureTimeError, check_time

log = get_logger(__name__)


class Occurrence(NamedTuple):
    """An event with its payload by type."""

    event: Event
    data: EventData


class UnreadableError(ValueError):
    """The record can never be handled; the message names the field and the reason."""


def read(record: TakenRecord, now: datetime) -> Occurrence | None:
    """What happened; None for a type that is not in the catalogue. Raises UnreadableError."""
    try:
        event = decode(record.key, record.value, record.headers)
        if event.type not in EVENT_TYPES:
            # A newer producer may know more types; no rule can ask for one that we do not know.
            metrics.EVENTS.labels("unknown").inc()
            log.info("event.unknown", event_id=event.id, type=event.type)
            return None
        data = parse_data(event)
        check_time(event, data, now)
    except ValidationError as error:
        first = error.errors()[0]
        raise UnreadableError(f"data.{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (CodecError, FutureTimeError) as error:
        raise UnreadableError(str(error)) from error
    return Occurrence(event, data)
