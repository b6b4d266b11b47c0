"""The words of `when`: each kind of window with its keys, checked."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from services.bridge.durations import Grace, Span
from services.bridge.rule_words import EventType, Expression

_MOST = 1000
_NONE = timedelta()


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Batch(_Words):
    """One run for several events: as soon as there are `count`, or `within` after the first, whichever comes first.
    A window takes 1000 events at most."""

    count: int | None = Field(default=None, ge=2, le=_MOST)
    within: Span | None = None
    lateness: Grace = _NONE

    @model_validator(mode="after")
    def _one_of_them(self) -> Batch:
        if self.count is None and self.within is None:
            raise ValueError("give count, within, or both: when is the batch complete?")
        return self


class Debounce(_Words):
    """One run once nothing has come for `after`; however long events keep coming, after `longest` at the latest."""

    after: Span
    longest: Span | None = None
    lateness: Grace = _NONE


class Throttle(_Words):
    """A run for each event, but at most `count` `within` any such time; the others have none."""

    within: Span
    count: int = Field(default=1, ge=1, le=_MOST)
    lateness: Grace = timedelta(minutes=10)


class Once(_Words):
    """A run for the first event of each window; windows follow one another since 1970, in UTC."""

    per: Span


class Part(_Words):
    """One of several conditions: among the rule's events, those for which `where` holds; `on` if their types differ."""

    where: Expression = "true"
    on: list[EventType] | None = Field(default=None, min_length=1)


class Together(_Words):
    """One run once there is an event for each condition, all within this time."""

    of: list[Part] = Field(min_length=2, max_length=10)
    within: Span
    lateness: Grace = _NONE


class Absence(_Words):
    """A run for an event of the rule that is not followed by one of `of` within this time."""

    of: Part
    within: Span
    lateness: Grace = _NONE


def _each(value: Any) -> Any:
    return {} if value == "each" else value


class When(_Words):
    """Exactly one kind; `each` is written as that word alone, and is what a rule without `when` does."""

    batch: Batch | None = None
    debounce: Debounce | None = None
    throttle: Throttle | None = None
    once: Once | None = None
    all: Together | None = None
    sequence: Together | None = None
    absence: Absence | None = None

    @model_validator(mode="before")
    @classmethod
    def _exactly_one(cls, value: Any) -> Any:
        if isinstance(value, str):
            # Only of a ValueError does pydantic tell the place.
            raise ValueError(f"{value} needs its own keys below it; docs/rules.md shows them")  # noqa: TRY004 - for pydantic
        if isinstance(value, dict) and len(value) > 1:
            raise ValueError(f"give one of {', '.join(cls.model_fields)}, not several: {', '.join(map(str, value))}")
        return value

    @property
    def kind(self) -> str:
        """The name of the kind."""
        return next((name for name in type(self).model_fields if getattr(self, name) is not None), "each")

    @property
    def parts(self) -> list[Part]:
        """The conditions beside the rule's own, in order."""
        if self.absence is not None:
            return [self.absence.of]
        together = self.all or self.sequence
        return list(together.of) if together is not None else []


WhenSpec = Annotated[When, BeforeValidator(_each)]
