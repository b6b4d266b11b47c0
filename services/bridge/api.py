"""The bridge's REST: rules, which can be paused and resumed, triggers, traces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, params

from datalab.runtime.web import Problem
from datalab.store.tables.bridge import RunStateRow
from schemas.codec import CodecError, decode_attributes
from services.bridge.explaining import explain
from services.bridge.ledger import Ledger
from services.bridge.pauses import Pauses
from services.bridge.rules import Rule
from services.bridge.rules_in_force import RulesInForce
from services.bridge.views import (
    DecisionView,
    PauseView,
    RuleList,
    RuleView,
    StateView,
    TestResult,
    Trace,
    TracedTrigger,
    TriggerList,
    TriggerView,
)
from services.bridge.waiting import WaitingTriggers

PageSize = Annotated[int, Query(ge=1, le=500)]


def bridge_router(
    rules: RulesInForce,
    ledger: Ledger,
    pauses: Pauses,
    waiting: WaitingTriggers,
    ui_url: str,
    changes: Sequence[params.Depends],
) -> APIRouter:
    """The endpoints over these rules and this ledger; `ui_url` is where Prefect shows runs, `changes` what an operation
    depends on that changes something."""
    router = APIRouter(prefix="/v1", tags=["bridge"])
    _add_rules(router, rules, pauses, waiting)
    _add_pauses(router, rules, pauses, changes)
    _add_triggers(router, ledger, ui_url)
    return router


def _add_pauses(router: APIRouter, in_force: RulesInForce, pauses: Pauses, changes: Sequence[params.Depends]) -> None:
    def named(name: str) -> Rule:
        rule = in_force.book.by_name.get(name)
        if rule is None:
            raise Problem(404, "Not Found", f"rule {name!r} is not in force; GET /v1/rules lists them")
        return rule

    @router.post("/rules/{name}:pause", summary="Have the rule's matches wait from now on", dependencies=changes)
    async def pause(name: str, reason: Annotated[str, Body(embed=True, max_length=500)] = "by a person") -> PauseView:
        done = await pauses.pause(named(name), reason)
        return PauseView.of(pauses.of(name), changed=done)

    @router.post("/rules/{name}:resume", summary="Start what waits, in order, and go on", dependencies=changes)
    async def resume(name: str) -> PauseView:
        done = await pauses.resume(named(name).name, "by a person")
        return PauseView.of(None, changed=done)


def _add_rules(router: APIRouter, in_force: RulesInForce, pauses: Pauses, waiting: WaitingTriggers) -> None:
    @router.get("/rules", summary="The rules in force")
    async def rules() -> RuleList:
        counts = await waiting.counts()
        views = [RuleView.of(rule, pauses.of(rule.name), counts.get(rule.name, 0)) for rule in in_force.book.rules]
        return RuleList(rules=views, since=in_force.since, fault=in_force.fault)

    @router.post("/rules:test", summary="What each rule says about an event (structured CloudEvent); starts nothing")
    async def test(event: Annotated[dict[str, Any], Body()]) -> TestResult:
        try:
            decoded = decode_attributes({"specversion": "1.0", **event})
        except CodecError as error:
            raise Problem(422, "Not an event", f"{error}; send a CloudEvent as a JSON object") from error
        views = [DecisionView.of(*explain(rule, decoded)) for rule in in_force.book.rules]
        return TestResult(event_id=decoded.id, decisions=views)


def _add_triggers(router: APIRouter, ledger: Ledger, ui_url: str) -> None:
    @router.get("/triggers", summary="Triggers, newest first")
    async def triggers(
        event_id: str | None = None,
        rule: str | None = None,
        status: Literal["pending", "waiting", "created", "dead", "suppressed"] | None = None,
        page_size: PageSize = 50,
        page_token: str | None = None,
    ) -> TriggerList:
        try:
            rows, following = await ledger.page(
                size=page_size, token=page_token, event_id=event_id, rule=rule, status=status
            )
        except ValueError as error:
            raise Problem(422, "Invalid request", str(error)) from error
        return TriggerList(triggers=[TriggerView.of(row, ui_url) for row in rows], next_page_token=following)

    @router.get("/triggers/{trigger_id}", summary="One trigger with the states of its run")
    async def trigger(trigger_id: str) -> TracedTrigger:
        row = await ledger.get(trigger_id)
        if row is None:
            raise Problem(404, "Not Found", f"trigger {trigger_id!r} does not exist; GET /v1/triggers lists them")
        states = await ledger.states([row.flow_run_id]) if row.flow_run_id else ()
        return TracedTrigger(**dict(TriggerView.of(row, ui_url)), states=[StateView.of(state) for state in states])

    @router.get("/events/{event_id}/trace", summary="Triggers of the event and of its chain, with their runs")
    async def trace(event_id: str) -> Trace:
        rows = await ledger.chain(event_id)
        states: defaultdict[str, list[RunStateRow]] = defaultdict(list)
        for state in await ledger.states([row.flow_run_id for row in rows if row.flow_run_id]):
            states[state.run_id].append(state)
        triggers = [
            TracedTrigger(
                **dict(TriggerView.of(row, ui_url)),
                states=[StateView.of(state) for state in states[row.flow_run_id or ""]],
            )
            for row in rows
        ]
        return Trace(event_id=event_id, triggers=triggers)
