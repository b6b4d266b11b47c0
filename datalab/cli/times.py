"""Times as people type them: now, beginning, a span back from now, or ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def since(text: str, now: datetime, option: str = "--from") -> datetime | None:
    """The time that the option names; None for the beginning. Raises ValueError."""
    if text == "beginning":
        return None
    if text == "now":
        return now
    if match := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as error:
        raise ValueError(f"{option}: {text!r} is neither now, beginning, a span such as 10m, nor a time") from error
