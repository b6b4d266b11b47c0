"""`config/notify.yaml`: receivers, the tree of routes, times and inhibitions, checked as a whole.

It reads configuration. Which alert goes where is decided in `routing.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from datalab.runtime.yaml_lines import RepeatedKeyError, documents, line_of, line_of_fault
from services.notifier.consistency import Fault, faults
from services.notifier.delivery import Target
from services.notifier.fields import Name, Names, OneOrMany, Span, Strict
from services.notifier.intervals import TimeInterval
from services.notifier.matching import Matchers
from services.notifier.receivers import Environment, Receiver


class ConfigError(ValueError):
    """The file cannot be used. The message names file, line and field of each fault, a line each."""


class EscalationStep(Strict):
    """Who is told too if nobody has acknowledged the alert so long after it fired."""

    after: Span
    receivers: Annotated[list[Name], OneOrMany] = Field(min_length=1)


class Route(Strict):
    """Alerts that match go to these receivers, or to those of the inner route that matches."""

    name: Name
    match: Matchers = Matchers()
    receivers: Names = Field(default_factory=list)
    goes_on: bool = Field(default=False, alias="continue")
    mute: Names = Field(default_factory=list)
    active: Names = Field(default_factory=list)
    group_by: list[str] | None = None
    group_wait: Span | None = None
    group_interval: Span | None = None
    repeat_interval: Span | None = None
    escalate: list[EscalationStep] = Field(default_factory=list)
    routes: list[Route] = Field(default_factory=list)


class Inhibition(Strict):
    """While an alert that matches `source` fires, one that matches `target` and has equal labels is not told."""

    name: Name
    source: Matchers
    target: Matchers
    equal: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _narrow(self) -> Self:
        if self.source.empty or self.target.empty:
            raise ValueError("needs something to match in `source` and in `target`; an empty one fits every alert")
        return self


class NotifyConfig(Strict):
    """The whole file."""

    receivers: list[Receiver]
    routes: list[Route]
    time_intervals: list[TimeInterval] = Field(default_factory=list)
    inhibit: list[Inhibition] = Field(default_factory=list)

    def targets(self, environment: Environment) -> dict[str, Target]:
        """Every receiver by name, with its addresses or the reason why it has none."""
        return {receiver.name: receiver.target(environment) for receiver in self.receivers}

    def interval(self, name: str) -> TimeInterval:
        """The interval of that name; `faults` has seen that there is one."""
        return next(interval for interval in self.time_intervals if interval.name == name)


def load_config(path: Path) -> NotifyConfig:
    """The checked file; raises ConfigError."""
    try:
        found = documents(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except RepeatedKeyError as error:
        raise ConfigError(f"{path}:{error.line}: {error}") from error
    except yaml.YAMLError as error:
        line = line_of_fault(error)
        where = f"{path}:{line}" if line else str(path)
        raise ConfigError(f"{where}: is not YAML: {getattr(error, 'problem', error)}; correct the syntax") from error
    if len(found) != 1:
        raise ConfigError(f"{path}: must be one YAML document, found {len(found)}")
    node, content = found[0]
    try:
        config = NotifyConfig.model_validate(content)
    except ValidationError as error:
        told = [(e["loc"], _advice(e)) for e in error.errors()]
        raise ConfigError(_report(path, node, told)) from None
    if wrong := list(faults(config)):
        raise ConfigError(_report(path, node, wrong))
    return config


def _report(path: Path, node: yaml.Node, wrong: list[Fault]) -> str:
    return "\n".join(f"{path}:{line_of(node, loc)}: {'.'.join(map(str, loc)) or 'file'}: {why}" for loc, why in wrong)


def _advice(error: ErrorDetails) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "there is no such field; remove it or correct its name"
        case "missing":
            return "is missing; add it"
        case "string_pattern_mismatch":
            return "use lower-case letters, digits, dots and dashes; for a variable capitals, digits and underscores"
    return error["msg"].removeprefix("Value error, ")
