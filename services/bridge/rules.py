"""What a rule is: its fields, each checked, and the rules in force by event type.

Reading files is `services.bridge.rule_files`; what a rule says about an event is `services.bridge.decisions`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from jinja2 import TemplateSyntaxError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from schemas.catalog import UnknownEventTypeError, topic_for
from schemas.envelope import Event
from services.bridge.conditions import Condition, ConditionError, Facts, Key
from services.bridge.limits import Limits, OnFailure
from services.bridge.screening import Screen
from services.bridge.templates import Template


def _known_type(type_: str) -> str:
    try:
        topic_for(type_)
    except UnknownEventTypeError as error:
        raise ValueError(str(error)) from None
    return type_


def _compiles(source: str) -> str:
    try:
        Condition(source)
    except ConditionError as error:
        raise ValueError(str(error)) from None
    return source


def _keys(source: str) -> str:
    try:
        Key(source)
    except ConditionError as error:
        raise ValueError(str(error)) from None
    return source


def _template(value: Any) -> Any:
    try:
        Template(value)
    except TemplateSyntaxError as error:
        raise ValueError(f"not a template: {error.message}") from None
    return value


_Label = StrictBool | StrictInt | StrictFloat | StrictStr


class RunSpec(BaseModel):
    """The run that a rule starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deployment: str = Field(pattern=r"^[^/\s][^/]*/[^/]*[^/\s]$", description="flow/deployment")
    parameters: dict[str, Annotated[Any, AfterValidator(_template)]] = Field(default_factory=dict)
    tags: list[Annotated[str, AfterValidator(_template)]] = Field(default_factory=list)
    labels: dict[str, Annotated[_Label, AfterValidator(_template)]] = Field(default_factory=dict)
    name: Annotated[str, AfterValidator(_template)] | None = None
    work_queue: str | None = Field(default=None, min_length=1)


class RuleSpec(BaseModel):
    """A rule as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    description: str = ""
    on: list[Annotated[str, AfterValidator(_known_type)]] = Field(min_length=1)
    where: Annotated[str, AfterValidator(_compiles)] = "true"
    run: RunSpec
    key: Annotated[str, AfterValidator(_keys)] | None = None
    limits: Limits | None = None
    on_failure: OnFailure = OnFailure()


@dataclass(frozen=True)
class Rule:
    """A rule that can be applied. `origin` is file:line; `version` differs once anything of the rule does."""

    spec: RuleSpec
    condition: Condition
    parameters: Template
    tags: Template
    options: Template
    key: Key
    version: str
    origin: str

    @classmethod
    def of(cls, spec: RuleSpec, origin: str) -> Rule:
        """Compile a checked rule."""
        run = spec.run
        named = {"labels": run.labels or None, "name": run.name, "work_queue_name": run.work_queue}
        options = Template({field: value for field, value in named.items() if value is not None})
        return cls(
            spec,
            Condition(spec.where),
            Template(dict(run.parameters)),
            Template(list(run.tags)),
            options,
            Key(spec.key),
            hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:16],
            origin,
        )

    @property
    def name(self) -> str:
        """The rule's name, unique in its book."""
        return self.spec.name

    @property
    def queued(self) -> bool:
        """Whether its runs are started from the queue rather than in the turn of their event."""
        return self.spec.limits is not None or self.spec.on_failure.retries > 0


class RuleBook:
    """The rules in force, by the event types they listen to."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = list(rules)
        self.by_name = {rule.name: rule for rule in self.rules}
        self._by_type: dict[str, list[Rule]] = {}
        for rule in self.rules:
            for type_ in dict.fromkeys(rule.spec.on):
                self._by_type.setdefault(type_, []).append(rule)
        self._screens = {type_: Screen(rules) for type_, rules in self._by_type.items()}

    def concerned_by(self, event: Event) -> tuple[Sequence[Rule], Facts | None]:
        """The rules that may have something to say about the event, and the event as their conditions see it."""
        screen = self._screens.get(event.type)
        return ((), None) if screen is None else screen.concerned(event)

    def listening_to(self, type_: str) -> Sequence[Rule]:
        """The rules for events of this type."""
        return self._by_type.get(type_, ())

    @property
    def types(self) -> list[str]:
        """The event types that any rule listens to."""
        return sorted(self._by_type)

    @property
    def topics(self) -> list[str]:
        """The topics that must be consumed."""
        return sorted({topic_for(type_) for type_ in self._by_type})

    @property
    def deployments(self) -> dict[str, str]:
        """Each deployment that a rule starts, with the name of one such rule."""
        return {rule.spec.run.deployment: rule.name for rule in self.rules}
