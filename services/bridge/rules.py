"""What a rule is: its fields, each checked, and the rules in force by event type.

Reading files is `services.bridge.rule_files`; what a rule says about an event is `services.bridge.decisions`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from schemas.catalog import topic_for
from schemas.envelope import Event
from services.bridge.conditions import Condition, Facts, Key
from services.bridge.limits import Limits, OnFailure
from services.bridge.rule_words import EventType, Expression, KeyExpression, template
from services.bridge.screening import Screen
from services.bridge.templates import Template
from services.bridge.windows.spec import When, WhenSpec

_Label = StrictBool | StrictInt | StrictFloat | StrictStr


class RunSpec(BaseModel):
    """The run that a rule starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deployment: str = Field(pattern=r"^[^/\s][^/]*/[^/]*[^/\s]$", description="flow/deployment")
    parameters: dict[str, Annotated[Any, AfterValidator(template)]] = Field(default_factory=dict)
    tags: list[Annotated[str, AfterValidator(template)]] = Field(default_factory=list)
    labels: dict[str, Annotated[_Label, AfterValidator(template)]] = Field(default_factory=dict)
    name: Annotated[str, AfterValidator(template)] | None = None
    work_queue: str | None = Field(default=None, min_length=1)


class RuleSpec(BaseModel):
    """A rule as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    description: str = ""
    on: list[EventType] = Field(min_length=1)
    where: Expression = "true"
    run: RunSpec
    key: KeyExpression | None = None
    when: WhenSpec = When()
    limits: Limits | None = None
    on_failure: OnFailure = OnFailure()


@dataclass(frozen=True)
class Role:
    """A condition of a rule and the event types it is about; `field` is where it is written."""

    types: frozenset[str]
    condition: Condition
    field: str


def _roles(spec: RuleSpec) -> tuple[Role, ...]:
    """The rule's own condition; for several conditions each with the rule's own; for an absence the one that is awaited
    and the one whose absence counts."""
    own, when = Role(frozenset(spec.on), Condition(spec.where), "where"), spec.when
    if not when.parts:
        return (own,)
    if when.absence is not None:
        part = when.absence.of
        return (own, Role(frozenset(part.on or spec.on), Condition(part.where), "when.absence.of.where"))
    return tuple(
        Role(
            frozenset(part.on or spec.on),
            Condition(f"({spec.where}) && ({part.where})"),
            f"when.{when.kind}.of.{number}.where",
        )
        for number, part in enumerate(when.parts)
    )


@dataclass(frozen=True)
class Rule:
    """A rule that can be applied. `origin` is file:line; `version` differs once anything of the rule does."""

    spec: RuleSpec
    roles: tuple[Role, ...]
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
            _roles(spec),
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
    def windowed(self) -> bool:
        """Whether it acts on windows of events rather than on each."""
        return self.spec.when.kind != "each"

    @property
    def types(self) -> frozenset[str]:
        """The event types that it listens to."""
        return frozenset().union(*(role.types for role in self.roles))

    def gate(self, type_: str) -> Condition:
        """What must hold of an event of this type, if it concerns the rule at all."""
        own = [role.condition for role in self.roles if type_ in role.types]
        return own[0] if len(own) == 1 else Condition(" || ".join(f"({condition.source})" for condition in own))

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
            for type_ in sorted(rule.types):
                self._by_type.setdefault(type_, []).append(rule)
        self._screens = {
            type_: Screen([(rule, rule.gate(type_)) for rule in rules]) for type_, rules in self._by_type.items()
        }

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
