"""Alert rules as data: what `config/alerts.yaml` may say, and reading it with errors that name rule and field.

It decides nothing about events (see `decide`) and renders nothing (see `wording`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from schemas.alerts import Severity
from schemas.catalog import EVENT_TYPES
from services.monitor.wording import check_template

# The topics that are consumed; a rule on any other type would never see an event.
TOPICS = ("lab.runs", "lab.quality", "lab.services", "lab.files", "lab.models")

AnnotationName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: in YAML 1.1, which PyYAML reads, the key `on` means `true`."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own form
        first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), ["t", "f"])


class RuleFileError(ValueError):
    """The file cannot be used. The message names file, rule, field and reason, one problem a line."""


class AlertRule(BaseModel):
    """One kind of trouble. `labels` are fields of the payload; equal rule and labels mean the same trouble."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    on: tuple[str, ...] = Field(min_length=1, description="Event types that show the trouble")
    resolved_by: tuple[str, ...] = Field(default=(), description="Event types that show its end")
    labels: tuple[str, ...] = Field(min_length=1, description="Payload fields that say which thing is in trouble")
    severity: Severity
    summary: str = Field(min_length=1)
    description: str = ""
    annotations: dict[AnnotationName, str] = Field(default_factory=dict)
    runbook: str | None = None

    @field_validator("on", "resolved_by")
    @classmethod
    def _known_types(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        for type_ in types:
            if type_ not in EVENT_TYPES:
                raise ValueError(f"unknown event type {type_!r}; known: {', '.join(_watched_types())}")
            if EVENT_TYPES[type_].topic not in TOPICS:
                raise ValueError(f"{type_!r} is on {EVENT_TYPES[type_].topic}, which is not watched")
        return types

    @field_validator("summary", "description")
    @classmethod
    def _template(cls, source: str) -> str:
        check_template(source)
        return source

    @field_validator("annotations")
    @classmethod
    def _templates(cls, sources: dict[str, str]) -> dict[str, str]:
        for source in sources.values():
            check_template(source)
        return sources

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        both = set(self.on) & set(self.resolved_by)
        if both:
            raise ValueError(f"{', '.join(sorted(both))} cannot both raise and resolve the alert")
        for type_ in (*self.on, *self.resolved_by):
            missing = [label for label in self.labels if label not in EVENT_TYPES[type_].model_fields]
            if missing:
                fields = ", ".join(EVENT_TYPES[type_].model_fields)
                raise ValueError(f"labels: {type_} has no field {', '.join(missing)}; it has {fields}")
        return self


class AlertRules(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[AlertRule, ...]

    @field_validator("rules")
    @classmethod
    def _unique(cls, rules: tuple[AlertRule, ...]) -> tuple[AlertRule, ...]:
        names = [rule.name for rule in rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: more than one rule of that name")
        return rules

    def matching(self, type_: str) -> Iterable[AlertRule]:
        """The rules that an event of this type concerns, in the order of the file."""
        return (rule for rule in self.rules if type_ in rule.on or type_ in rule.resolved_by)


def read_rules(path: Path) -> AlertRules:
    """The rules in `path`; raises RuleFileError."""
    try:
        content = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RuleFileError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise RuleFileError(f"{path}: must be a mapping with the key `rules`")
    try:
        return AlertRules.model_validate(content)
    except ValidationError as error:
        problems = "\n".join(f"{path}: {_place(content, e['loc'])}: {e['msg']}" for e in error.errors())
        raise RuleFileError(problems) from error


def _place(content: dict[str, Any], loc: tuple[int | str, ...]) -> str:
    """`rules[1] (data-quality).severity` rather than a bare list of keys."""
    words = ""
    for depth, part in enumerate(loc):
        if isinstance(part, str):
            words += f".{part}" if words else part
            continue
        words += f"[{part}]"
        entry = content["rules"][part] if depth == 1 else None
        if isinstance(entry, dict) and entry.get("name"):
            words += f" ({entry['name']})"
    return words or "file"


def _watched_types() -> list[str]:
    return sorted(type_ for type_, model in EVENT_TYPES.items() if model.topic in TOPICS)
