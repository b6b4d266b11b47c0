"""Finding where a claimed delivery goes: receivers from the configuration, subscriptions from the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select

from datalab.runtime.clock import Clock
from datalab.store.engine import Sessions
from datalab.store.tables.notifier import SubscriptionRow
from services.notifier.delivery import Delivery, Target
from services.notifier.ledger import refusal
from services.notifier.sealing import Seal
from services.notifier.wishes import OWNER


class Targets:
    """Looks targets up as they are now: an address or secret may have changed since the delivery was stored."""

    def __init__(self, receivers: Mapping[str, Target], sessions: Sessions, seal: Seal, clock: Clock) -> None:
        self._receivers, self._sessions, self._seal, self._clock = receivers, sessions, seal, clock

    async def find(self, deliveries: Sequence[Delivery]) -> list[Target]:
        """The target of each, in their order; its `unavailable` says why the delivery cannot be sent."""
        wanted = {delivery.subscription_id for delivery in deliveries} - {None}
        rows: dict[str, Target] = {}
        if wanted:
            async with self._sessions() as session:
                found = await session.scalars(select(SubscriptionRow).where(SubscriptionRow.id.in_(wanted)))
                rows = {row.id: self._subscription(row) for row in found}
        return [self._target(delivery, rows) for delivery in deliveries]

    def _target(self, delivery: Delivery, subscriptions: Mapping[str, Target]) -> Target:
        if delivery.target_key.startswith(OWNER):
            return Target(delivery.target, "email", recipients=(delivery.target,))
        if not delivery.target_key.startswith("subscription:"):
            found = self._receivers.get(delivery.target)
            return found or _gone(delivery, f"receiver {delivery.target} is no longer in notify.yaml")
        found = subscriptions.get(delivery.subscription_id or "")
        return found or _gone(delivery, f"subscription {delivery.target} was removed")

    def _subscription(self, row: SubscriptionRow) -> Target:
        keys = tuple(self._seal.open(kept) for kept in live_secrets(row.secrets, self._clock.now()))
        return Target(row.name, "webhook", row.url, keys, unavailable=refusal(row))


def live_secrets(stored: list[Any], now: datetime) -> tuple[str, ...]:
    """The secrets to sign with as they are kept, the newest first; replaced ones until their overlap ends."""
    return tuple(
        entry["secret"]
        for entry in stored
        if entry["expires_at"] is None or datetime.fromisoformat(entry["expires_at"]) > now
    )


def _gone(delivery: Delivery, why: str) -> Target:
    return Target(delivery.target, "webhook", unavailable=why)
