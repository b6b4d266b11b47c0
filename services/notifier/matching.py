"""Matchers: what an alert must be like, for routes, inhibitions and silences alike. Pure; a mismatch says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Protocol

from pydantic import Field, field_validator

from schemas.alerts import Severity
from services.notifier.fields import OneOrMany, Strict

Pattern = Annotated[str, Field(pattern=r"^[^\x00]{0,500}$")]  # Postgres, which keeps those of silences, takes no NUL
Patterns = Annotated[list[Pattern], OneOrMany]


class Matched(Protocol):
    """What matchers look at; the alert of an event and its row in the database are such."""

    @property
    def severity(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...


class Judged(Matched, Protocol):
    """An alert that decisions are made about."""

    @property
    def fingerprint(self) -> str: ...


class Matchers(Strict):
    """What an alert must be like. Texts are patterns with `*` and `?`, after a `!` they must not fit; a list holds if
    one of it fits (where there is one to fit) and none that must not. All fields must hold."""

    severity: Annotated[list[Severity], OneOrMany] = Field(default_factory=list)
    rule: Patterns = Field(default_factory=list)
    labels: dict[Pattern, list[Pattern]] = Field(default_factory=dict)

    @field_validator("labels", mode="before")
    @classmethod
    def _one_or_many_each(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: [text] if isinstance(text, str) else text for name, text in value.items()}

    @property
    def empty(self) -> bool:
        """Whether it fits every alert."""
        return not (self.severity or self.rule or self.labels)

    def __str__(self) -> str:
        parts: dict[str, Sequence[str]] = {"severity": self.severity, "rule": self.rule, **self.labels}
        return ", ".join(f"{name}={'|'.join(values)}" for name, values in parts.items() if values) or "every alert"


def mismatch(alert: Matched, match: Matchers) -> str | None:
    """None if every matcher holds, else the first that does not, and what the alert has instead."""
    if match.severity and alert.severity not in match.severity:
        return f"severity is {alert.severity}, not {' or '.join(match.severity)}"
    if not fits(alert.rule, match.rule):
        return f"rule is {alert.rule}, which {_wanted(match.rule)}"
    for name, patterns in match.labels.items():
        value = alert.labels.get(name, "")
        if not fits(value, patterns):
            return f"label {name} is {value or 'absent'}, which {_wanted(patterns)}"
    return None


def matches(alert: Matched, match: Matchers) -> bool:
    """Whether every matcher holds."""
    return mismatch(alert, match) is None


def fits(text: str, patterns: Sequence[str]) -> bool:
    """Whether the text fits one of the patterns, if there are any, and none of those that start with `!`."""
    barred = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    if any(fnmatchcase(text, pattern) for pattern in barred):
        return False
    return not wanted or any(fnmatchcase(text, pattern) for pattern in wanted)


def _wanted(patterns: Sequence[str]) -> str:
    return f"does not fit {' or '.join(patterns)}"
