"""A limit as a form: whom it may differ for, what has to be sent, and what the monitor objects to. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from services.dashboard.answers.monitor import Threshold, Thresholds
from services.dashboard.client import RefusedError


def override_keys(threshold: Threshold, limits: Thresholds) -> list[str]:
    """Deployments and flows that a limit may be set for: those that have one first. Empty if the limit has none."""
    if threshold.overrides is None:
        return []
    with_deployment = {key.partition("/")[0] for key in limits.known_deployments}
    known = [*limits.known_deployments, *(flow for flow in limits.known_flows if flow not in with_deployment)]
    return [*threshold.overrides, *(key for key in known if key not in threshold.overrides)]


def change(threshold: Threshold, value: float | None, overrides: Mapping[str, float | None]) -> dict[str, object]:
    """The body of the PUT. An override left empty is none; a limit without overrides is sent without."""
    body: dict[str, object] = {"value": value}
    if threshold.overrides is not None:
        body["overrides"] = {key: given for key, given in overrides.items() if given is not None}
    return body


def problems(error: RefusedError) -> dict[str, str]:
    """What is wrong, by field; without fields the whole reason, as that of the value."""
    return error.fields or {"value": error.detail}
