"""`/v1/thresholds`: the limits of alert rules, to read and to change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Response, params
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.runtime.web import Problem
from datalab.store.engine import Sessions
from services.monitor import limit_changes
from services.monitor.limit_changes import Change
from services.monitor.limit_store import Stored, known_names, stored
from services.monitor.limits import Number, Threshold, faults_of
from services.monitor.rules import AlertRules

log = get_logger(__name__)
IfMatch = Annotated[str | None, Header(max_length=100)]


class ThresholdView(BaseModel):
    """A limit as it is now. `overrides` are by flow/deployment or flow, null where the limit is the same for all."""

    rule: str
    name: str
    unit: str
    description: str
    must_be: str
    default: float
    value: float
    default_overrides: dict[str, float] | None
    overrides: dict[str, float] | None
    enabled: bool = Field(description="Whether the rule raises alerts; the same for all limits of the rule")
    updated_at: datetime | None
    etag: str


class Thresholds(BaseModel):
    """Every limit, and the names that overrides may have."""

    thresholds: list[ThresholdView]
    known_deployments: list[str]
    known_flows: list[str]


class ThresholdChange(BaseModel):
    """What is left out stays as it is; `overrides` replaces all of them."""

    model_config = ConfigDict(extra="forbid")

    value: Number | None = None
    overrides: dict[str, Number] | None = None
    enabled: Annotated[bool, Field(strict=True)] | None = None


def router(
    sessions: Sessions, in_force: Callable[[], AlertRules], clock: Clock, changes: Sequence[params.Depends]
) -> APIRouter:
    """The router of these operations."""
    api = APIRouter(prefix="/v1/thresholds", tags=["thresholds"])

    @api.get("", summary="Limits of alert rules")
    async def list_thresholds() -> Thresholds:
        rules = in_force()
        async with sessions() as session:
            views = [_view(threshold, rows) for threshold, rows in await stored(session, rules)]
            deployments, flows = await known_names(session, rules)
        return Thresholds(thresholds=views, known_deployments=deployments, known_flows=flows)

    @api.get("/{rule}/{name}", summary="One limit")
    async def show(rule: str, name: str, response: Response) -> ThresholdView:
        rules = in_force()
        wanted = _find(rules, rule, name)
        async with sessions() as session:
            rows = next(rows for threshold, rows in await stored(session, rules) if threshold is wanted)
        response.headers["ETag"] = rows.etag
        return _view(wanted, rows)

    @api.put("/{rule}/{name}", summary="Change a limit, or switch its rule on or off", dependencies=changes)
    async def change(
        rule: str, name: str, wanted: ThresholdChange, response: Response, if_match: IfMatch = None
    ) -> ThresholdView:
        rules, now = in_force(), clock.now()
        threshold = _find(rules, rule, name)
        async with sessions.begin() as session:
            await _check(session, rules, threshold, wanted)
            rows = await limit_changes.locked(session, threshold, now)
            _check_etag(rows, if_match)
            limit_changes.apply(rows, Change(wanted.value, wanted.overrides, wanted.enabled), now)
        return _changed(threshold, rows, response)

    @api.delete("/{rule}/{name}", summary="Back to the default", dependencies=changes)
    async def unset(rule: str, name: str, response: Response, if_match: IfMatch = None) -> ThresholdView:
        threshold, now = _find(in_force(), rule, name), clock.now()
        async with sessions.begin() as session:
            rows = await limit_changes.locked(session, threshold, now)
            _check_etag(rows, if_match)
            limit_changes.reset(rows, now)
        return _changed(threshold, rows, response)

    return api


def _changed(threshold: Threshold, rows: Stored, response: Response) -> ThresholdView:
    response.headers["ETag"] = rows.etag
    view = _view(threshold, rows)
    log.info("threshold.changed", **view.model_dump(include={"rule", "name", "value", "overrides", "enabled"}))
    return view


def _find(rules: AlertRules, rule: str, name: str) -> Threshold:
    for threshold in rules.thresholds:
        if (threshold.rule, threshold.name) == (rule, name):
            return threshold
    known = [f"{threshold.rule}/{threshold.name}" for threshold in rules.thresholds]
    raise Problem(404, "Unknown threshold", f"no threshold {rule}/{name}; there are {', '.join(known)}", known=known)


async def _check(session: AsyncSession, rules: AlertRules, threshold: Threshold, wanted: ThresholdChange) -> None:
    """Raise a Problem that names each field that is wrong."""
    faults = {name: "must not be null" for name in wanted.model_fields_set if getattr(wanted, name) is None}
    faults |= faults_of(threshold, wanted.value, wanted.overrides)
    if not wanted.model_fields_set:
        faults = {"body": "give value, overrides or enabled"}
    known: list[str] = []
    if wanted.overrides and not faults:
        deployments, flows = await known_names(session, rules)
        known = [*deployments, *flows]
        unknown = "no such deployment or flow; there are " + ", ".join(known)
        faults = {f"overrides.{name}": unknown for name in wanted.overrides if name not in known}
    if faults:
        errors = [{"field": field, "reason": reason} for field, reason in faults.items()]
        detail = "; ".join(f"{field}: {reason}" for field, reason in faults.items())
        raise Problem(422, "Invalid threshold", detail, errors=errors, **({"known": known} if known else {}))


def _check_etag(rows: Stored, if_match: str | None) -> None:
    if if_match not in (None, "*", rows.etag):
        detail = f"If-Match: it was changed meanwhile and is {rows.etag} now; read it again"
        raise Problem(412, "Changed meanwhile", detail, headers={"ETag": rows.etag})


def _view(threshold: Threshold, rows: Stored) -> ThresholdView:
    criterion, limit = threshold.criterion, rows.limit(threshold)
    return ThresholdView(
        rule=threshold.rule,
        name=threshold.name,
        unit=criterion.unit,
        description=threshold.description,
        must_be=criterion.must_be,
        default=threshold.default,
        value=limit.value,
        default_overrides=threshold.overrides if criterion.by_deployment else None,
        overrides=dict(limit.overrides) if criterion.by_deployment else None,
        enabled=rows.enabled,
        updated_at=rows.updated_at,
        etag=rows.etag,
    )
