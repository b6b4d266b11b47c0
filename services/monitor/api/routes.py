"""Every endpoint below /v1, from one router a resource."""

from __future__ import annotations

from fastapi import APIRouter

from datalab.runtime.clock import Clock
from datalab.store.engine import Sessions
from services.monitor.api import alerts, flows, inventory, rules, runs, thresholds
from services.monitor.rules_in_force import RulesInForce


def routes(sessions: Sessions, alert_rules: RulesInForce, clock: Clock) -> APIRouter:
    """All routers as one."""
    api = APIRouter()
    for router in (
        alerts.router(sessions),
        runs.router(sessions, clock),
        flows.router(sessions, clock),
        inventory.router(sessions),
        rules.router(sessions, alert_rules, clock),
        thresholds.router(sessions, alert_rules, clock),
    ):
        api.include_router(router)
    return api
