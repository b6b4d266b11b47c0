"""Conditions of rules: a CEL expression over the whole event. Compiled once; knows nothing of runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import cel

from schemas.envelope import Event

# CEL's standard functions and macros as the library has them; operators start with another character.
_FUNCTIONS = (
    "bool bytes contains double duration dyn endsWith getDate getDayOfMonth getDayOfWeek getDayOfYear getFullYear "
    "getHours getMilliseconds getMinutes getMonth getSeconds has int matches max min size startsWith string "
    "timestamp type uint"
)
_LONGEST_KEY = 500
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|filter|map)\s*\(\s*([A-Za-z_]\w*)\s*,")


class ConditionError(ValueError):
    """The expression cannot be compiled, or names something that does not exist."""


class ConditionFailedError(Exception):
    """The expression cannot be evaluated on this event: the rule and the event do not fit together."""


class Verdict(NamedTuple):
    """Whether a condition holds, and why not."""

    holds: bool
    reason: str


class Facts:
    """One event as conditions see it: the variable `event`, absent attributes left out so that has() tells."""

    def __init__(self, event: Event) -> None:
        attributes: dict[str, Any] = {k: v for k, v in event.__dict__.items() if v is not None}
        self.context = cel.Context(variables={"event": attributes})


class AnyOf:
    """Several conditions at once, in one program: what most events of a busy topic need to be asked."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self._program = cel.compile(" || ".join(f"({condition.source})" for condition in conditions))

    def excluded(self, facts: Facts) -> bool:
        """Whether none of them holds and none fails. False may also mean that one has to look at each."""
        try:
            return self._program.execute(facts.context) is False
        except Exception:  # a field that the event lacks, or a fault: each condition tells for itself
            return False


class _Expression:
    """A compiled expression. Raises ConditionError when made."""

    def __init__(self, source: str) -> None:
        self.source = source.strip()
        try:
            self._program = cel.compile(self.source)
        except ValueError as error:
            raise ConditionError(" ".join(str(error).split())[:300]) from error
        self._refuse_unknown_names()

    def _refuse_unknown_names(self) -> None:
        unknown = set(self._program.variables()) - {"event"} - set(_BOUND.findall(self.source))
        if unknown:
            raise ConditionError(
                f"unknown variable {', '.join(sorted(unknown))}; the event is `event`, as in event.data"
            )
        named = {name for name in self._program.functions() if name[0].isalpha()}
        if strange := named.difference(_FUNCTIONS.split()):
            raise ConditionError(f"unknown function {', '.join(sorted(strange))}")


class Condition(_Expression):
    """An expression that is true or false of an event."""

    def judge(self, facts: Facts) -> Verdict:
        """Whether it holds. A field that the event lacks makes it false; any other failure raises."""
        try:
            answer = self._program.execute(facts.context)
        except (KeyError, IndexError) as error:
            return Verdict(False, f"the event has no {error}")
        except Exception as error:
            raise ConditionFailedError(f"{type(error).__name__}: {error}"[:300]) from error
        if not isinstance(answer, bool):
            raise ConditionFailedError(f"gave {answer!r}, which is neither true nor false"[:300])
        return Verdict(answer, "" if answer else f"{self.source} is false")


class Key(_Expression):
    """An expression that says which events belong together. Without a source all do."""

    def __init__(self, source: str | None) -> None:
        super().__init__("''" if source is None else source)

    def of(self, facts: Facts) -> str:
        """The key of the event, at most 500 characters; raises ConditionFailedError, also for a field it lacks."""
        try:
            answer = self._program.execute(facts.context)
        except (KeyError, IndexError) as error:
            raise ConditionFailedError(f"the event has no {error}") from error
        except Exception as error:
            raise ConditionFailedError(f"{type(error).__name__}: {error}"[:300]) from error
        if not isinstance(answer, str | int | float | bool):
            raise ConditionFailedError(f"gave {answer!r}, which is neither text nor number"[:300])
        if "\x00" in (key := str(answer)) or len(key) > _LONGEST_KEY:
            raise ConditionFailedError(f"is longer than {_LONGEST_KEY} characters, or contains NUL")
        return key
