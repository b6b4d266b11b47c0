"""The kinds of fields that `config/notify.yaml` is made of: names, variables, lengths of time."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
_SPAN = re.compile(r"(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m)?(?:(\d{1,8})s)?")
_RATE = re.compile(r"(\d{1,6})/([smh])")


class Strict(BaseModel):
    """A part of the file: no field that it does not know, no change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def span(text: Any) -> timedelta:
    """A length of time as people write it: `30s`, `5m`, `1h30m`, `2d`; raises ValueError."""
    if isinstance(text, timedelta):
        return text
    found = _SPAN.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None or not found.group():
        raise ValueError("must be a length of time such as 30s, 5m, 4h, 2d or 1h30m")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    if days > 3650:
        raise ValueError("is longer than ten years; choose a shorter time")
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def shown_span(length: timedelta) -> str:
    """The length as `span` reads it."""
    minutes, seconds = divmod(round(length.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{count}{unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")) if count]
    return "".join(parts) or "0s"


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def rate(text: Any) -> float:
    """Messages a second, written as a number per second, minute or hour: `1/s`, `30/m`; raises ValueError."""
    if isinstance(text, int | float) and not isinstance(text, bool) and text > 0:
        return float(text)
    found = _RATE.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None or not int(found[1]):
        raise ValueError("must be a rate such as 1/s, 30/m or 100/h")
    return int(found[1]) / {"s": 1, "m": 60, "h": 3600}[found[2]]


Rate = Annotated[float, BeforeValidator(rate)]
Span = Annotated[timedelta, BeforeValidator(span)]
OneOrMany = BeforeValidator(_one_or_many)
Names = Annotated[list[Name], OneOrMany]
