"""`/v1/rules`: the alert rules, and switching each on or off."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, params
from pydantic import BaseModel, ConfigDict, Field

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.runtime.web import Problem
from datalab.store.engine import Sessions
from datalab.store.tables.monitor_limits import RuleSwitchRow
from schemas.alerts import Severity
from services.monitor import limit_changes
from services.monitor.limit_store import switches
from services.monitor.rules import AlertRule, AlertRules
from services.monitor.rules_in_force import RulesInForce

log = get_logger(__name__)


class RuleView(BaseModel):
    """An alert rule. What ends a trouble ends its alert also while the rule is switched off."""

    rule: str
    severity: Severity
    enabled: bool
    on: list[str]
    resolved_by: list[str]
    labels: list[str]
    runbook: str | None
    thresholds: list[str]
    updated_at: datetime | None = Field(description="When it was last switched; none if never")


class Rules(BaseModel):
    """Every alert rule, in the order of the file that is in force since that time."""

    rules: list[RuleView]
    since: datetime
    fault: str | None = Field(
        description="What is wrong with the file as it is now, so that an earlier one is in force"
    )


class RuleChange(BaseModel):
    """The switch."""

    model_config = ConfigDict(extra="forbid")

    enabled: Annotated[bool, Field(strict=True)]


def router(sessions: Sessions, in_force: RulesInForce, clock: Clock, changes: Sequence[params.Depends]) -> APIRouter:
    """The router of these operations."""
    api = APIRouter(prefix="/v1/rules", tags=["rules"])

    @api.get("", summary="Alert rules")
    async def list_rules() -> Rules:
        async with sessions() as session:
            touched = await switches(session)
        rules = in_force()
        views = [_view(rules, rule, touched.get(rule.name)) for rule in rules.rules]
        return Rules(rules=views, since=in_force.since, fault=in_force.fault)

    @api.put("/{name}", summary="Switch a rule on or off", dependencies=changes)
    async def change(name: str, wanted: RuleChange) -> RuleView:
        rules = in_force()
        rule = next((rule for rule in rules.rules if rule.name == name), None)
        if rule is None:
            known = [rule.name for rule in rules.rules]
            raise Problem(404, "Unknown rule", f"no rule {name}; there are {', '.join(known)}", known=known)
        now = clock.now()
        async with sessions.begin() as session:
            switch = await limit_changes.locked_switch(session, name, now)
            limit_changes.turn(switch, wanted.enabled, now)
        log.info("rule.switched", rule=name, enabled=wanted.enabled)
        return _view(rules, rule, switch)

    return api


def _view(rules: AlertRules, rule: AlertRule, switch: RuleSwitchRow | None) -> RuleView:
    return RuleView(
        rule=rule.name,
        severity=rule.severity,
        enabled=switch is None or switch.enabled,
        on=list(rule.on),
        resolved_by=list(rule.resolved_by),
        labels=list(rule.labels),
        runbook=rule.runbook,
        thresholds=[threshold.name for threshold in rules.thresholds if threshold.rule == rule.name],
        updated_at=switch.updated_at if switch is not None and switch.version else None,
    )
