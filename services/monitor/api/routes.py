"""Every endpoint below /v1, from one router a resource."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, params

from datalab.runtime.clock import Clock
from datalab.store.engine import Sessions
from services.monitor.api import alerts, flows, inventory, rules, runs, thresholds
from services.monitor.rules_in_force import RulesInForce


def routes(sessions: Sessions, alert_rules: RulesInForce, clock: Clock, changes: Sequence[params.Depends]) -> APIRouter:
    """All routers as one; `changes` is what an operation depends on that changes something."""
    api = APIRouter()
    for router in (
        alerts.router(sessions),
        runs.router(sessions, clock),
        flows.router(sessions, clock),
        inventory.router(sessions),
        rules.router(sessions, alert_rules, clock, changes),
        thresholds.router(sessions, alert_rules, clock, changes),
    ):
        api.include_router(router)
    return api
