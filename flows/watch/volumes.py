"""Whether as many rows arrive as usual at this time of the week: of each dataset those of the last day, against the
same day of the weeks before, all from `lab.datasets`. Only these days are read; nothing is kept in between. They are
found by the times of records, of which Kafka refuses those more than an hour ahead: borders of days are as exact.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median

from pydantic import ValidationError

from datalab.bus.reader import read_events
from flows.watch.findings import Measurement
from schemas.catalog import parse_data
from schemas.datasets import DatasetUpdated
from schemas.metrics import VOLUME_FACTOR

_DAY, _WEEK, _WEEKS = timedelta(days=1), timedelta(weeks=1), 4
# A file that comes a few hours later than usual is late, and not missing.
_GRACE = timedelta(hours=6)
_FEWEST_WEEKS = 3
# Where nothing came, the factor has no end; this says enough.
_MOST = 1000.0
Rows = Mapping[str, int]


async def look_at_volumes(bootstrap: str, now: datetime, *, deadline_s: float) -> tuple[Measurement, ...]:
    """Of each dataset that is usual enough. Nothing without a broker, which the check of the topics tells."""
    days = [(now - _DAY, now), (now - _DAY - _GRACE, now)]
    days += [(now - week * _WEEK - _DAY, now - week * _WEEK) for week in range(1, _WEEKS + 1)]
    try:
        async with asyncio.timeout(deadline_s):
            today, lately, *before = await asyncio.gather(*(_rows(bootstrap, *day) for day in days))
    except (ConnectionError, TimeoutError):
        return ()
    return tuple(factors(today, lately, before))


def factors(today: Rows, lately: Rows, before: Sequence[Rows]) -> Iterable[Measurement]:
    """How many times more, or less, than usual arrived. `lately` is the last day with some hours more, by which what is
    late is not taken for missing. A dataset that had rows in fewer than three of the weeks has no usual. Pure."""
    for dataset in sorted({name for rows in before for name in rows}):
        had = [rows[dataset] for rows in before if rows.get(dataset)]
        if len(had) < _FEWEST_WEEKS:
            continue
        usual, much, little = median(had), today.get(dataset, 0), lately.get(dataset, 0)
        more, less = much / usual, usual / little if little else _MOST
        told = little if less > more else much
        labels = {"observed": str(told), "usual": f"{usual:.0f}"}
        yield Measurement(dataset, VOLUME_FACTOR, min(max(more, less), _MOST), "1", labels=labels)


async def _rows(bootstrap: str, since: datetime, until: datetime) -> Rows:
    """Rows that runs read into Bronze, by dataset."""
    counts: Counter[str] = Counter()
    async for _, event in read_events(bootstrap, [DatasetUpdated.topic], since=since, until=until):
        if event.type != DatasetUpdated.type:
            continue
        try:
            data = parse_data(event)
        except ValidationError:  # the monitor has put it into the dead letters
            continue
        assert isinstance(data, DatasetUpdated)
        if data.layer == "bronze":
            counts[data.dataset] += data.rows_in
    return counts
