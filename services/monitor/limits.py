"""Thresholds of rules: declared in `config/alerts.yaml`, changed over REST. Pure; `limit_store` has Postgres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from services.monitor.criteria import CRITERIA, Criterion

Number = Annotated[FiniteFloat, Field(strict=True)]


class Threshold(BaseModel):
    """A limit that people may change, with the default that holds until they do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    name: str
    description: str = Field(min_length=1)
    default: Number
    overrides: dict[str, Number] = Field(default_factory=dict, description="By flow/deployment, or by flow")

    @property
    def criterion(self) -> Criterion:
        """What its name means."""
        return CRITERIA[self.name]

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.name not in CRITERIA:
            raise ValueError(f"name: unknown threshold {self.name!r}; known: {', '.join(CRITERIA)}")
        faults = faults_of(self, self.default, self.overrides)
        if faults:
            where, why = next(iter(faults.items()))
            raise ValueError(f"{'default' if where == 'value' else where}: {why}")
        return self


def faults_of(threshold: Threshold, value: float | None, overrides: Mapping[str, float] | None) -> dict[str, str]:
    """What is wrong with a value and its overrides, by field."""
    criterion = threshold.criterion
    faults = {}
    if value is not None and (fault := criterion.fault(value)):
        faults["value"] = fault
    if overrides and not (criterion.by_deployment or criterion.by_subject):
        faults["overrides"] = f"{threshold.rule}.{threshold.name} is the same for all; leave them out"
        return faults
    for name, limit in (overrides or {}).items():
        if fault := criterion.fault(limit):
            faults[f"overrides.{name}"] = fault
    return faults


@dataclass(frozen=True)
class Limit:
    """A threshold's value as it is now."""

    value: float
    overrides: Mapping[str, float] = field(default_factory=dict)

    def of(self, flow: str | None, deployment: str | None) -> float:
        """The limit for a deployment: its own, else its flow's, else everybody's."""
        for name in (deployment, flow):
            if name is not None and name in self.overrides:
                return self.overrides[name]
        return self.value


@dataclass(frozen=True)
class RuleLimits:
    """What holds for one rule now."""

    enabled: bool = True
    limits: Mapping[str, Limit] = field(default_factory=dict)
