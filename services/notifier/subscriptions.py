"""Webhook subscriptions: created, changed, given new secrets. Sending to them is the sender's business."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from datalab.store.engine import Sessions
from datalab.store.tables.notifier import SubscriptionRow
from services.notifier.signing import new_secret
from services.notifier.targets import live_secrets


class ConflictError(Exception):
    """The name is taken by another subscription. The message says by what and what to do."""


@dataclass(frozen=True)
class Opened:
    """A subscription with the secret that is shown this once; without one if it existed already."""

    row: SubscriptionRow
    secret: str | None


class Subscriptions:
    """Subscriptions in Postgres."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def open(self, name: str, url: str, event_types: list[str]) -> Opened:
        """Create it, or find the very same one; raises ConflictError if the name has another URL or other types."""
        secret = new_secret()
        statement = (
            insert(SubscriptionRow)
            .values(
                id=str(uuid.uuid4()),
                name=name,
                url=url,
                event_types=event_types,
                secrets=[_entry(secret)],
                active=True,
            )
            .on_conflict_do_nothing(index_elements=[SubscriptionRow.name])
            .returning(SubscriptionRow.id)
        )
        async with self._sessions.begin() as session:
            created = await session.scalar(statement)
            row = await session.scalar(select(SubscriptionRow).where(SubscriptionRow.name == name))
        if row is None:
            raise ConflictError(f"subscription {name} was removed at the same moment; create it again")
        if created:
            return Opened(row, secret)
        if row.url != url or sorted(row.event_types) != sorted(event_types):
            differs = "another URL" if row.url != url else f"the types {', '.join(row.event_types)}"
            raise ConflictError(f"subscription {name} exists with {differs}: change it with PATCH, or remove it")
        return Opened(row, None)

    async def list(self, after: str, limit: int) -> list[SubscriptionRow]:
        """In order of their names, those after the given one."""
        statement = (
            select(SubscriptionRow).where(SubscriptionRow.name > after).order_by(SubscriptionRow.name).limit(limit)
        )
        async with self._sessions() as session:
            return list((await session.scalars(statement)).all())

    async def find(self, key: str) -> SubscriptionRow | None:
        """By id or by name."""
        by_key = (SubscriptionRow.id == key) | (SubscriptionRow.name == key)
        async with self._sessions() as session:
            found: SubscriptionRow | None = await session.scalar(select(SubscriptionRow).where(by_key))
            return found

    async def change(self, key: str, changes: dict[str, Any]) -> SubscriptionRow | None:
        """Set some columns; None if there is no such subscription. Switching on forgets why it was off."""
        if changes.get("active"):
            changes = {**changes, "disabled_reason": None}
        return await self._change(key, lambda _: changes)

    async def rotate(self, key: str, now: datetime, overlap: timedelta) -> Opened | None:
        """Give it a new secret; the old ones go on signing beside it until the overlap ends."""
        secret = new_secret()

        def rotated(row: SubscriptionRow) -> dict[str, Any]:
            live = live_secrets(row.secrets, now)
            kept = [e for e in row.secrets if e["secret"] in live]
            until = (now + overlap).isoformat()
            old = [{**e, "expires_at": e["expires_at"] or until} for e in kept]
            return {"secrets": [_entry(secret), *old]}

        row = await self._change(key, rotated)
        return Opened(row, secret) if row else None

    async def _change(self, key: str, changes: Any) -> SubscriptionRow | None:
        by_key = (SubscriptionRow.id == key) | (SubscriptionRow.name == key)
        async with self._sessions.begin() as session:
            row = await session.scalar(select(SubscriptionRow).where(by_key).with_for_update())
            if row is None:
                return None
            for column, value in changes(row).items():
                setattr(row, column, value)
            row.updated_at = func.now()
            await session.flush()
            await session.refresh(row)
            return row


def _entry(secret: str) -> dict[str, Any]:
    return {"secret": secret, "expires_at": None}
