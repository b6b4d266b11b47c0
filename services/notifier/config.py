"""`config/notify.yaml`: receivers, the tree of routes, times and inhibitions, checked as a whole.

It reads configuration. Which alert goes where is decided in `routing.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from datalab.runtime.yaml_lines import RepeatedKeyError, documents, line_of, line_of_fault
from services.notifier.delivery import Target
from services.notifier.fields import Name, Names, Strict
from services.notifier.intervals import TimeInterval
from services.notifier.matching import Matchers
from services.notifier.receivers import Environment, Receiver


class ConfigError(ValueError):
    """The file cannot be used. The message names file, line and field of each fault, a line each."""


class Route(Strict):
    """Alerts that match go to these receivers, or to those of the inner route that matches."""

    name: Name
    match: Matchers = Matchers()
    receivers: Names = Field(default_factory=list)
    goes_on: bool = Field(default=False, alias="continue")
    mute: Names = Field(default_factory=list)
    active: Names = Field(default_factory=list)
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


Fault = tuple[tuple[int | str, ...], str]


def faults(config: NotifyConfig) -> Iterator[Fault]:
    """What is wrong between the parts of the file, each with its place."""
    yield from _repeated(config)
    known = {receiver.name for receiver in config.receivers}
    intervals = {interval.name for interval in config.time_intervals}
    for place, route, inherited in walk(config.routes):
        if not route.receivers and not inherited:
            yield place, f"route {route.name} has no receivers, nor has a route around it"
        for field, names, kind, there in (
            ("receivers", route.receivers, "receiver", known),
            ("mute", route.mute, "time interval", intervals),
            ("active", route.active, "time interval", intervals),
        ):
            if unknown := [name for name in names if name not in there]:
                said = ", ".join(sorted(there)) or "none"
                yield (*place, field), f"route {route.name} names the unknown {kind} {unknown[0]}; there are: {said}"


def walk(
    routes: list[Route], place: tuple[int | str, ...] = (), inherited: bool = False
) -> Iterator[tuple[tuple[int | str, ...], Route, bool]]:
    """Every route of the tree with its place in the file and whether a route around it has receivers."""
    for number, route in enumerate(routes):
        here = (*place, "routes", number)
        yield here, route, inherited
        yield from walk(route.routes, here, inherited or bool(route.receivers))


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


def _repeated(config: NotifyConfig) -> Iterator[Fault]:
    named: list[tuple[str, list[tuple[tuple[int | str, ...], str]]]] = [
        ("receiver", [(("receivers", n), r.name) for n, r in enumerate(config.receivers)]),
        ("route", [(place, route.name) for place, route, _ in walk(config.routes)]),
        ("time interval", [(("time_intervals", n), i.name) for n, i in enumerate(config.time_intervals)]),
        ("inhibition", [(("inhibit", n), i.name) for n, i in enumerate(config.inhibit)]),
    ]
    for kind, entries in named:
        seen: set[str] = set()
        for place, name in entries:
            if name in seen:
                yield (*place, "name"), f"the {kind} name {name} is used twice; choose another"
            seen.add(name)
