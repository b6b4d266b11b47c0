"""Named times of the week and the year, in a time zone, with holidays: for routes that are mute or active. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from services.notifier.fields import Name, OneOrMany, Strict

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EVERY_YEAR = re.compile(r"(\d{2})-(\d{2})")


def _minute(value: Any) -> int:
    """Minutes since midnight; 24:00 is the end of the day."""
    found = re.fullmatch(r"(\d{2}):(\d{2})", value) if isinstance(value, str) else None
    minutes = int(found[1]) * 60 + int(found[2]) if found and int(found[2]) < 60 else -1
    if not 0 <= minutes <= 1440:
        raise ValueError("must be a time of day such as 08:00 or 24:00")
    return minutes


def _weekdays(value: Any) -> Any:
    """`mon-fri` and `sat` as numbers of days; Monday is 0."""
    if not isinstance(value, list):
        return value
    days: set[int] = set()
    for part in value:
        first, _, last = str(part).lower().partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise ValueError(f"{part!r} must be one of {', '.join(_DAYS)} or a range such as mon-fri")
        start, end = _DAYS.index(first), _DAYS.index(last or first)
        days |= {day % 7 for day in range(start, (end if end >= start else end + 7) + 1)}
    return sorted(days)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write it like America/Sao_Paulo or UTC") from None
    return name


def _day(value: Any) -> Any:
    """A date, or `MM-DD` for that day of every year."""
    if isinstance(value, str) and (found := _EVERY_YEAR.fullmatch(value)):
        date(2024, int(found[1]), int(found[2]))  # 2024 had a 29 February; raises ValueError
        return value
    return value if isinstance(value, date) else date.fromisoformat(str(value))


Minute = Annotated[int, BeforeValidator(_minute)]
Weekdays = Annotated[list[int], BeforeValidator(_weekdays), OneOrMany]
Day = Annotated[date | str, BeforeValidator(_day)]
TimeZone = Annotated[str, AfterValidator(_zone)]


class Times(Strict):
    """A part of the week. Past midnight it belongs to the day on which it began."""

    weekdays: Weekdays = Field(default_factory=lambda: list(range(7)))
    from_: Minute = Field(default=0, alias="from")
    to: Minute = 1440

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.from_ == self.to:
            raise ValueError("`from` and `to` are the same; leave both out for the whole day")
        return self

    def days_of(self, local: datetime) -> list[date]:
        """The days whose share of these times holds that local time: today's or yesterday's."""
        minute, today = local.hour * 60 + local.minute, local.date()
        over_midnight = self.to < self.from_
        held = []
        if self.from_ <= minute and (over_midnight or minute < self.to):
            held.append(today)
        if over_midnight and minute < self.to:
            held.append(today - timedelta(days=1))
        return [day for day in held if day.weekday() in self.weekdays]


class TimeInterval(Strict):
    """A named time. `except_days` are taken out, with what begins on them; `days` count whole, always."""

    name: Name
    time_zone: TimeZone = "UTC"
    times: list[Times] = Field(default_factory=list)
    days: list[Day] = Field(default_factory=list)
    except_days: list[Day] = Field(default_factory=list)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.times and not self.days:
            raise ValueError("needs `times` or `days`")
        return self

    def holds(self, now: datetime) -> bool:
        """Whether `now` (aware) is within it."""
        local = now.astimezone(ZoneInfo(self.time_zone))
        if _among(local.date(), self.days):
            return True
        begun = [day for times in self.times for day in times.days_of(local)]
        return any(not _among(day, self.except_days) for day in begun)

    def local(self, now: datetime) -> time:
        """The time of day there."""
        return now.astimezone(ZoneInfo(self.time_zone)).time().replace(second=0, microsecond=0)


def _among(day: date, days: Sequence[date | str]) -> bool:
    return day in days or day.strftime("%m-%d") in days
