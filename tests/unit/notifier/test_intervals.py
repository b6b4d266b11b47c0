"""Times of the week in a time zone, past midnight, with holidays."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from services.notifier.fields import shown_span, span
from services.notifier.intervals import TimeInterval

WORK = {"time_zone": "America/Sao_Paulo", "times": [{"weekdays": "mon-fri", "from": "08:00", "to": "18:00"}]}
NIGHT = {"times": [{"weekdays": ["fri"], "from": "22:00", "to": "06:00"}]}


def interval(**fields: Any) -> TimeInterval:
    return TimeInterval.model_validate({"name": "i", **fields})


@pytest.mark.parametrize(
    ("fields", "at", "held"),
    [
        (WORK, "2026-11-24T11:00:00+00:00", True),  # 08:00 there
        (WORK, "2026-11-24T10:59:59+00:00", False),
        (WORK, "2026-11-24T20:59:59+00:00", True),
        (WORK, "2026-11-24T21:00:00+00:00", False),  # 18:00 is the end
        (WORK, "2026-11-28T15:00:00+00:00", False),  # a Saturday
        (WORK | {"except_days": ["11-24"]}, "2026-11-24T15:00:00+00:00", False),
        (WORK | {"except_days": ["2025-11-24"]}, "2026-11-24T15:00:00+00:00", True),
        (WORK | {"days": ["2026-11-28"]}, "2026-11-28T03:00:00+00:00", True),
        (WORK | {"days": ["2026-11-28"]}, "2026-11-28T02:59:00+00:00", False),  # the day before, there
        (NIGHT, "2026-11-27T22:00:00+00:00", True),
        (NIGHT, "2026-11-28T05:59:00+00:00", True),  # belongs to Friday
        (NIGHT, "2026-11-28T22:00:00+00:00", False),
        (NIGHT, "2026-11-27T05:00:00+00:00", False),
        (NIGHT | {"except_days": ["2026-11-27"]}, "2026-11-28T05:00:00+00:00", False),
        ({"times": [{"weekdays": ["sat-mon"]}]}, "2026-11-29T12:00:00+00:00", True),
        ({"times": [{"weekdays": ["sat-mon"]}]}, "2026-12-01T12:00:00+00:00", False),
        # Clocks in New York go back at 06:00 UTC on 1 November 2026; 01:30 is twice.
        (
            {"time_zone": "America/New_York", "times": [{"from": "01:00", "to": "02:00"}]},
            "2026-11-01T06:30:00+00:00",
            True,
        ),
    ],
)
def test_a_moment_is_within_or_not(fields: dict[str, Any], at: str, held: bool) -> None:
    assert interval(**fields).holds(datetime.fromisoformat(at)) is held


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "needs `times` or `days`"),
        ({"time_zone": "Mars/Olympus", "days": ["12-25"]}, "is no time zone"),
        ({"time_zone": "../../etc/passwd", "days": ["12-25"]}, "is no time zone"),
        ({"times": [{"weekdays": "monday"}]}, "must be one of mon, tue"),
        ({"times": [{"from": "25:00"}]}, "must be a time of day"),
        ({"times": [{"from": "09:00", "to": "09:00"}]}, "are the same"),
        ({"days": ["02-30"]}, "day"),
        ({"days": ["tomorrow"]}, "isoformat"),
    ],
)
def test_a_mistake_is_told(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        interval(**fields)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1h30m", 5400), ("2d", 172_800), ("0s", 0)])
def test_lengths_of_time(text: str, seconds: int) -> None:
    assert span(text).total_seconds() == seconds
    assert shown_span(span(text)) == text


@pytest.mark.parametrize("text", ["", "5", "5 minutes", "-5m", "m", 5, None, "99999d"])
def test_what_is_no_length_of_time_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"length of time|ten years"):
        span(text)
