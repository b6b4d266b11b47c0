"""Spans of time as rules write them: 500ms, 30s, 5m, 2h, 1d."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=366)


def _read(text: Any) -> timedelta:
    match = re.fullmatch(r"(\d{1,9})(ms|s|m|h|d)", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is no span of time; write it as 500ms, 30s, 5m, 2h or 1d")
    span = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if span > _LONGEST:
        raise ValueError(f"{text} is longer than a year")
    return span


def _positive(span: timedelta) -> timedelta:
    if not span:
        raise ValueError("must be more than nothing")
    return span


def written(span: timedelta) -> str:
    """The span in the largest unit that fits without rest."""
    ms = round(span.total_seconds() * 1000)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms % size == 0 and ms:
            return f"{ms // size}{unit}"
    return f"{ms}ms"


Grace = Annotated[timedelta, BeforeValidator(_read), PlainSerializer(written)]
Span = Annotated[Grace, AfterValidator(_positive)]
