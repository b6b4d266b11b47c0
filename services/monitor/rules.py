"""Alert rules as data: what `config/alerts.yaml` may say. `rule_file` reads it.

It decides nothing about events (see `decide`) and renders nothing (see `wording`).
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from schemas.alerts import Severity
from schemas.catalog import EVENT_TYPES
from schemas.envelope import EventData
from schemas.metrics import MetricSampled
from services.monitor.criteria import CLEAR, SILENT
from services.monitor.limits import Threshold
from services.monitor.wording import check_template

# The topics that are consumed; a rule on any other type would never see an event.
TOPICS = ("lab.runs", "lab.quality", "lab.services", "lab.files", "lab.models", "lab.datasets", "lab.metrics")

AnnotationName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class AlertRule(BaseModel):
    """One kind of trouble. `labels` are fields of the payload; equal rule and labels mean the same trouble."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    on: tuple[str, ...] = Field(min_length=1, description="Event types that show the trouble")
    resolved_by: tuple[str, ...] = Field(default=(), description="Event types that show its end")
    labels: tuple[str, ...] = Field(min_length=1, description="Payload fields that say which thing is in trouble")
    metric: str | None = Field(
        default=None,
        min_length=1,
        description="For lab.metric.sampled.v1: which measurement; its limit says what is bad",
    )
    of: str | None = Field(default=None, min_length=1, description="For a measurement: of this subject alone")
    counts_from: str | None = Field(
        default=None, description="Time in the payload of `on` types; whatever ends it later than that has ended it"
    )
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
        if (self.metric is None) != (MetricSampled.type not in self.on):
            raise ValueError(f"metric: goes with on: [{MetricSampled.type}], and that with it")
        if self.of is not None and self.metric is None:
            raise ValueError("of: goes with metric:, which says what is measured of it")
        both = set(self.on) & set(self.resolved_by)
        if both:
            raise ValueError(f"{', '.join(sorted(both))} cannot both raise and resolve the alert")
        for type_ in (*self.on, *self.resolved_by):
            missing = [label for label in self.labels if label not in EVENT_TYPES[type_].model_fields]
            if missing and type_ != MetricSampled.type:  # which has labels of its own
                fields = ", ".join(EVENT_TYPES[type_].model_fields)
                raise ValueError(f"labels: {type_} has no field {', '.join(missing)}; it has {fields}")
        for type_ in self.on if self.counts_from else ():
            times = [name for name, f in EVENT_TYPES[type_].model_fields.items() if f.annotation is AwareDatetime]
            if self.counts_from not in times:
                raise ValueError(f"counts_from: {type_} has no time {self.counts_from}; it has {', '.join(times)}")
        return self

    @cached_property
    def remembers_ends(self) -> bool:
        """Whether an end is remembered though nothing was wrong, lest a latecomer raise the alert. Not of single runs:
        each would leave something behind for ever, and whether one is over is told by the history of runs."""
        return "run_id" not in self.labels

    def concerns(self, data: EventData) -> bool:
        """Whether an event of one of the rule's types is about what it watches."""
        if self.metric is None:
            return True
        return isinstance(data, MetricSampled) and data.name == self.metric and self.of in {None, data.of}


class AlertRules(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[AlertRule, ...]
    thresholds: tuple[Threshold, ...] = ()

    @field_validator("rules")
    @classmethod
    def _unique(cls, rules: tuple[AlertRule, ...]) -> tuple[AlertRule, ...]:
        names = [rule.name for rule in rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: more than one rule of that name")
        return rules

    @model_validator(mode="after")
    def _thresholds_fit(self) -> Self:
        by_name = {rule.name: rule for rule in self.rules}
        seen: set[tuple[str, str]] = set()
        for threshold in self.thresholds:
            place = f"thresholds: {threshold.rule}.{threshold.name}"
            rule = by_name.get(threshold.rule)
            if rule is None:
                raise ValueError(f"{place}: no such rule; there are {', '.join(by_name)}")
            judged = {model.type for model in threshold.criterion.judges}
            if not threshold.criterion.is_of_any and not set(rule.on) <= judged:
                raise ValueError(f"{place}: speaks about {', '.join(sorted(judged))}, not {', '.join(rule.on)}")
            if (threshold.rule, threshold.name) in seen:
                raise ValueError(f"{place}: is there twice")
            seen.add((threshold.rule, threshold.name))
        for rule_name in {rule for rule, name in seen if name == SILENT} & {
            rule for rule, name in seen if name == CLEAR
        }:
            raise ValueError(f"thresholds: {rule_name}: silence is over at once; leave out {CLEAR}")
        return self

    def matching(self, type_: str) -> tuple[AlertRule, ...]:
        """The rules that an event of this type concerns, in the order of the file."""
        return self._by_type.get(type_, ())

    @cached_property
    def _by_type(self) -> dict[str, tuple[AlertRule, ...]]:
        """Asked for each event."""
        types = {type_ for rule in self.rules for type_ in (*rule.on, *rule.resolved_by)}
        return {t: tuple(rule for rule in self.rules if t in rule.on or t in rule.resolved_by) for t in types}


def _watched_types() -> list[str]:
    return sorted(type_ for type_, model in EVENT_TYPES.items() if model.topic in TOPICS)
