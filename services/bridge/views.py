"""What the bridge's REST answers look like. Shapes only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from datalab.store.tables.bridge import RunStateRow, TriggerRow
from services.bridge.decisions import Decision
from services.bridge.explaining import Part
from services.bridge.pauses import Pause
from services.bridge.rules import Rule


class PauseView(BaseModel):
    """Whether a rule is paused, and whether that is new."""

    paused: bool
    reason: str | None
    since: datetime | None
    changed: bool

    @classmethod
    def of(cls, pause: Pause | None, *, changed: bool) -> PauseView:
        """The view of a pause, or of none."""
        if pause is None:
            return cls(paused=False, reason=None, since=None, changed=changed)
        return cls(paused=True, reason=pause.reason, since=pause.since, changed=changed)


class RuleView(BaseModel):
    """A rule in force, as it is written. `waiting`: how many of its triggers wait; `paused`: why, if it is."""

    name: str
    description: str
    on: list[str]
    where: str
    deployment: str
    parameters: dict[str, Any]
    tags: list[str]
    key: str | None
    when: dict[str, Any] | Literal["each"]
    limits: dict[str, Any] | None
    on_failure: dict[str, Any]
    version: str
    waiting: int
    paused: str | None
    paused_since: datetime | None

    @classmethod
    def of(cls, rule: Rule, pause: Pause | None, waiting: int) -> RuleView:
        """The view of a rule."""
        spec = rule.spec
        return cls(
            name=spec.name,
            description=spec.description,
            on=sorted(rule.types),
            where=spec.where,
            deployment=spec.run.deployment,
            parameters=spec.run.parameters,
            tags=list(spec.run.tags),
            key=spec.key,
            when=spec.when.model_dump(mode="json", exclude_none=True) or "each",
            limits=spec.limits.model_dump(mode="json") if spec.limits else None,
            on_failure=spec.on_failure.model_dump(mode="json"),
            version=rule.version,
            waiting=waiting,
            paused=pause.reason if pause else None,
            paused_since=pause.since if pause else None,
        )


class TriggerView(BaseModel):
    """A trigger: status is pending, waiting (perhaps with a reason, and not before `due_at`), created, dead or
    suppressed (with a reason). `attempt` counts its runs; `earlier_runs` are those that failed."""

    id: str
    rule: str
    event_id: str
    event_type: str
    correlation_id: str
    topic: str
    partition: int
    offset: int
    deployment: str
    idempotency_key: str
    parameters: dict[str, Any]
    tags: list[str]
    options: dict[str, Any]
    status: str
    reason: str | None
    flow_run_id: str | None
    run_state: str | None
    run_url: str | None
    key: str
    window: dict[str, str] | None
    due_at: datetime | None
    attempt: int
    earlier_runs: list[dict[str, Any]]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: TriggerRow, ui_url: str) -> TriggerView:
        """The view of a row."""
        link = f"{ui_url}/runs/flow-run/{row.flow_run_id}" if row.flow_run_id else None
        fields = {name: getattr(row, name) for name in cls.model_fields if name != "run_url"}
        return cls(**fields, run_url=link)


class StateView(BaseModel):
    """A state of a run, and the event that told of it."""

    event_id: str
    event_type: str
    state_name: str
    occurred_at: datetime
    published_at: datetime | None

    @classmethod
    def of(cls, row: RunStateRow) -> StateView:
        """The view of a row."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class TracedTrigger(TriggerView):
    """A trigger with the states of its run."""

    states: list[StateView] = []


class PartView(BaseModel):
    """A part of a rule's condition: holds, false, fails or unasked, and the event's values that it looked at."""

    part: str
    verdict: str
    reason: str
    values: dict[str, Any]
    absent: list[str]


class DecisionView(BaseModel):
    """What a rule says about an event, part by part; `parameters` are those its run would get."""

    rule: str
    outcome: str
    reason: str
    deployment: str
    parameters: dict[str, Any]
    tags: list[str]
    options: dict[str, Any]
    conditions: list[PartView]

    @classmethod
    def of(cls, decision: Decision, parts: Sequence[Part]) -> DecisionView:
        """The view of a decision and its parts."""
        return cls(
            rule=decision.rule.name,
            outcome=decision.outcome,
            reason=decision.reason,
            deployment=decision.rule.spec.run.deployment,
            parameters=decision.parameters,
            tags=decision.tags,
            options=decision.options,
            conditions=[PartView.model_validate(part.to_json()) for part in parts],
        )


class RuleList(BaseModel):
    """All rules in force since a time. `fault`: what is wrong with the files as they are now, if anything is."""

    rules: list[RuleView]
    since: datetime
    fault: str | None


class TriggerList(BaseModel):
    """One page of triggers."""

    triggers: list[TriggerView]
    next_page_token: str | None


class Trace(BaseModel):
    """What an event caused, as the ledger knows it."""

    event_id: str
    triggers: list[TracedTrigger]


class TestResult(BaseModel):
    """What every rule says about a given event; nothing was started."""

    event_id: str
    decisions: list[DecisionView]
