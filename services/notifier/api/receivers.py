"""`/v1/receivers`: who can be told, what they would get, and trying it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from datalab.runtime.web import Problem
from schemas.alerts import AlertFiring
from services.notifier.delivery import Target
from services.notifier.guard import shown
from services.notifier.in_force import NotifyInForce
from services.notifier.trials import Trials


class ReceiverView(BaseModel):
    """A receiver of notify.yaml. Of its address only scheme and host are shown."""

    name: str
    channel: str
    address: str | None
    unavailable: str | None = Field(description="Why it cannot be used; null if it can")
    rate_per_s: float | None
    burst: int
    digest_after_s: float
    fallback: str | None
    language: str | None


class ReceiverList(BaseModel):
    """All of the file in force. `fault` says what is wrong with the file as it is now."""

    receivers: list[ReceiverView]
    fault: str | None


class PreviewWish(BaseModel):
    """The alert to show; an example without one."""

    model_config = ConfigDict(extra="forbid")

    alert: AlertFiring | None = None


class Preview(BaseModel):
    """What the receiver would get."""

    receiver: str
    channel: str
    message: dict[str, Any]


class Sent(BaseModel):
    """`GET /v1/deliveries/{delivery_id}` tells what became of it."""

    delivery_id: str


def router(in_force: NotifyInForce, trials: Trials, wake: Callable[[], None]) -> APIRouter:
    """The router of these operations."""
    api = APIRouter(prefix="/v1/receivers", tags=["receivers"])

    @api.get("", summary="All receivers")
    async def list_() -> ReceiverList:
        return ReceiverList(receivers=[_view(one) for one in in_force.targets.values()], fault=in_force.fault)

    @api.post("/{name}:preview", summary="What it would get of an alert")
    async def preview(name: str, wish: PreviewWish | None = None) -> Preview:
        target = _found(in_force, name)
        message = await trials.preview(target, wish.alert if wish else None)
        return Preview(receiver=name, channel=target.channel, message=message)

    @api.post("/{name}:test", status_code=202, summary="Send it a test message")
    async def test(name: str) -> Sent:
        target = _found(in_force, name)
        if target.unavailable:
            raise Problem(409, "Receiver cannot be used", target.unavailable)
        delivery_id = await trials.send(target)
        wake()
        return Sent(delivery_id=delivery_id)

    return api


def _view(target: Target) -> ReceiverView:
    return ReceiverView(
        name=target.name,
        channel=target.channel,
        address=_address(target),
        unavailable=target.unavailable,
        rate_per_s=target.rate_s,
        burst=target.burst,
        digest_after_s=target.digest_after_s,
        fallback=target.fallback,
        language=target.language,
    )


def _address(target: Target) -> str | None:
    if target.block:
        return f"Prefect's block {target.block}"
    if target.channel == "apprise":  # the part after the scheme is the secret
        return target.url.partition("://")[0] + "://…" if target.url else None
    return shown(target.url) if target.url else None


def _found(in_force: NotifyInForce, name: str) -> Target:
    target = in_force.targets.get(name)
    if target is None:
        known = ", ".join(sorted(in_force.targets))
        raise Problem(404, "Unknown receiver", f"notify.yaml has no receiver {name!r}; there are: {known}")
    return target
