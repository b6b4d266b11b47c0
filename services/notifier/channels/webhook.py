"""Webhooks: the CloudEvent in structured JSON, signed as Standard Webhooks says."""

from __future__ import annotations

import json
from typing import Any

from datalab.runtime.clock import Clock
from schemas.codec import STRUCTURED, to_structured
from services.notifier.delivery import Delivery, Result, Target
from services.notifier.outgoing import Outgoing
from services.notifier.signing import signed_headers


class WebhookChannel:
    """Posts to subscriptions and webhook receivers."""

    def __init__(self, outgoing: Outgoing, clock: Clock) -> None:
        self._outgoing, self._clock = outgoing, clock

    async def send(self, delivery: Delivery, target: Target) -> Result:
        """Post once: `webhook-id` is the delivery's id on every attempt, the timestamp is fresh."""
        body = _body(delivery)
        headers = {"Content-Type": STRUCTURED}
        if target.secrets:
            headers |= signed_headers(delivery.id, self._clock.now(), body, target.secrets)
        else:
            headers["webhook-id"] = delivery.id
        return await self._outgoing.post(target.url, body, headers)

    async def preview(self, delivery: Delivery, _: Target) -> dict[str, Any]:
        """The body; the signature is made anew for each attempt."""
        return {"content_type": STRUCTURED, "payload": json.loads(_body(delivery))}


def _body(delivery: Delivery) -> bytes:
    return json.dumps(to_structured(delivery.event), ensure_ascii=False, separators=(",", ":")).encode()
