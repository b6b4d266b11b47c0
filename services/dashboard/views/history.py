"""The history of runs: which ones are asked for, and the file they are exported to. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from services.dashboard.answers.monitor import Run
from services.dashboard.safe import cell
from services.dashboard.views.flow_names import FlowKey

STATES = ("SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED")
PERIODS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7), "all": None}
_FIELDS = ("run_id", "run_name", "flow", "deployment", "state_type", "state_name", "occurred_at", "start_time",
           "end_time", "duration_s", "cpu_seconds", "memory_peak_bytes", "event_id", "correlation_id",
           "message")  # fmt: skip


class Filters(NamedTuple):
    """What the browser chose; None for anything."""

    flow: FlowKey | None
    state: str | None
    period: str
    size: int


@dataclass(frozen=True)
class Question:
    """Filters as the monitor takes them, and the tokens of the pages up to the one that is shown.

    `since` is counted from when the question was asked: it must not move while pages are turned.
    """

    filters: Filters
    wanted: Mapping[str, str | None]
    tokens: list[str | None]

    @property
    def size(self) -> int:
        """Runs on a page."""
        return self.filters.size


class Export(NamedTuple):
    """The file made for a question, or in words why there is none."""

    question: Question
    content: bytes | str
    name: str


def ask(filters: Filters, now: datetime) -> Question:
    """The question that filters make, at its first page."""
    length = PERIODS[filters.period]
    wanted: dict[str, str | None] = {
        "state": filters.state,
        "since": (now - length).isoformat() if length else None,
    }
    if filters.flow is not None and filters.flow.deployment is not None:
        wanted["deployment"] = filters.flow.deployment
    elif filters.flow is not None:
        wanted["flow"] = filters.flow.flow
    return Question(filters, wanted, [None])


def to_csv(runs: Iterable[Run]) -> bytes:
    """One line a run, fields as the monitor names them, times in ISO 8601; UTF-8 with the mark spreadsheets want."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(_FIELDS)
    for run in runs:
        values = run.model_dump(mode="json")
        writer.writerow([cell(values[name]) for name in _FIELDS])
    return out.getvalue().encode("utf-8-sig")
