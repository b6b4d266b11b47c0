"""How much a rule may start, and what follows a failed run: the words of rules, and the decisions. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.bridge.durations import Span


class Limits(BaseModel):
    """At most `active` runs of the rule at a time for each key; the rest waits in the bridge, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    active: int = Field(ge=1, le=10_000)


class PauseAfter(BaseModel):
    """More than `dead` dead letters of a rule within this time pause it: something stays broken, and what follows
    waits rather than draining the topic into the dead letters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dead: int = Field(default=50, ge=1)
    within: Span = timedelta(minutes=10)

    def exceeded(self, dead: int) -> bool:
        """Whether so many within that time are too many."""
        return dead > self.dead


class OnFailure(BaseModel):
    """What follows a run that failed: so many further runs, `delay` after the first, twice that after the second and
    so on up to `longest`; then a dead letter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retries: int = Field(default=0, ge=0, le=100)
    delay: Span = timedelta(seconds=30)
    longest: Span = timedelta(hours=1)
    states: list[Literal["failed", "crashed"]] = Field(default=["failed", "crashed"], min_length=1)
    pause_after: PauseAfter = PauseAfter()


@dataclass(frozen=True)
class FollowUp:
    """What follows a failed run: another one after `delay`, a dead letter, or nothing, as the rule asked for none."""

    kind: Literal["retry", "dead", "nothing"]
    reason: str
    delay: timedelta = timedelta()


def follow_up(on_failure: OnFailure, run_id: str, state: str, retries: int) -> FollowUp:
    """The decision on a run that ended in `state` (FAILED, CRASHED) after so many retries."""
    ended = f"run {run_id} {state}"
    if not on_failure.retries or state.lower() not in on_failure.states:
        return FollowUp("nothing", ended)
    if retries >= on_failure.retries:
        return FollowUp("dead", f"{ended}, and so did the {retries} before it")
    delay = min(on_failure.longest, on_failure.delay * 2 ** min(retries, 30))
    return FollowUp("retry", f"{ended}; retry {retries + 1} of {on_failure.retries} follows", delay)


def free_places(limits: Limits | None, active: int, most: int) -> int:
    """How many runs may be started now, at most `most` in one go."""
    return most if limits is None else max(0, min(most, limits.active - active))
