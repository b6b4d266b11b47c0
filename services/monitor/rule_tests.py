"""Tests of alert rules as data, in the manner of promtool: events at times, and the alerts that must fire at a time.

Nothing is started: the rules' own code (`judgement`, `advance`, `overruns`, `wording`) runs over events in memory, with
the limits of the file. Every kind of bad luck can be written down: an event may `arrive` later than it happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from datalab.runtime.yaml_lines import Loader
from schemas.alerts import Severity
from schemas.catalog import EVENT_TYPES
from services.monitor.rules import AlertRules

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str) -> timedelta:
    """`90s`, `5m`, `2h`, `1d`, or several: `1h30m`. Raises ValueError."""
    total, number = 0.0, ""
    for letter in text.strip():
        if letter in _UNITS and number:
            total, number = total + float(number) * _UNITS[letter], ""
        else:
            number += letter
    if number or not text.strip():
        raise ValueError(f"{text!r} is no length of time; write 90s, 5m, 2h or 1h30m")
    return timedelta(seconds=total)


def _is_length(text: str) -> str:
    seconds_of(text)
    return text


Length = Annotated[str, AfterValidator(_is_length)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GivenEvent(_Model):
    """An event at a time since the test's beginning. In `data`, `+5m` as a value is that time."""

    at: Length
    arrives: Length | None = Field(default=None, description="When it is heard of; else at once")
    type: str
    data: dict[str, Any] = Field(default_factory=dict)
    id: str | None = Field(default=None, description="Equal ids are repeats")

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.type not in EVENT_TYPES:
            raise ValueError(f"type: unknown event type {self.type!r}")
        return self


class ExpectedAlert(_Model):
    """An alert that fires. Only what is given is compared, but `labels`, which must be equal."""

    labels: dict[str, str]
    severity: Severity | None = None
    summary: str | None = None
    annotations: dict[str, str] = Field(default_factory=dict)


class Expectation(_Model):
    """Exactly these alerts of the rule fire at that time, and so many began and ended until then."""

    at: Length
    rule: str
    firing: tuple[ExpectedAlert, ...] = ()
    fired: int | None = Field(default=None, ge=0, description="How many firing events were told until then")
    resolved: int | None = Field(default=None, ge=0)


class RuleTest(_Model):
    """One story."""

    name: str
    limits: dict[str, float] = Field(default_factory=dict, description="rule.threshold: value, instead of the default")
    events: tuple[GivenEvent, ...]
    expect: tuple[Expectation, ...] = Field(min_length=1)


class RuleTestFile(_Model):
    """`rules` is the file under test, beside this one; the one in force if it is left out."""

    rules: str | None = None
    tests: tuple[RuleTest, ...] = Field(min_length=1)


class RuleTestFileError(ValueError):
    """The file cannot be used. The message names file, test, field and reason, one problem a line."""


def read_tests(path: Path) -> RuleTestFile:
    """The tests in `path`; raises RuleTestFileError."""
    try:
        content = yaml.load(path.read_text("utf-8"), Loader)  # noqa: S506 - a SafeLoader
        return RuleTestFile.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RuleTestFileError(f"{path}: {error}") from error
    except ValidationError as error:
        faults = (f"{path}: {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise RuleTestFileError("\n".join(faults)) from error


def with_limits(rules: AlertRules, limits: Mapping[str, float]) -> AlertRules:
    """The rules with other values of thresholds. Raises ValueError for one that is unknown, or that it cannot have."""
    known = {f"{threshold.rule}.{threshold.name}": threshold for threshold in rules.thresholds}
    for name, value in limits.items():
        if name not in known:
            raise ValueError(f"limits.{name}: there is no such threshold; there are {', '.join(known)}")
        if fault := known[name].criterion.fault(value):
            raise ValueError(f"limits.{name}: {fault}")
    changed = [
        t.model_copy(update={"default": limits[name], "overrides": {}}) if name in limits else t
        for name, t in known.items()
    ]
    return rules.model_copy(update={"thresholds": tuple(changed)})


def timed(value: Any) -> Any:
    """The payload with `+5m` as the time that it stands for."""
    if isinstance(value, dict):
        return {name: timed(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [timed(inner) for inner in value]
    if isinstance(value, str) and value.startswith("+"):
        return (BEGIN + seconds_of(value[1:])).isoformat()
    return value


def moments(test: RuleTest) -> Iterator[tuple[datetime, int, GivenEvent | Expectation]]:
    """Events by arrival and expectations by time, in order; at one time the events first."""
    items: list[tuple[datetime, int, GivenEvent | Expectation]] = [
        (BEGIN + seconds_of(event.arrives or event.at), number, event) for number, event in enumerate(test.events)
    ]
    items += [(BEGIN + seconds_of(e.at), len(test.events) + number, e) for number, e in enumerate(test.expect)]
    yield from sorted(items, key=lambda item: item[:2])
