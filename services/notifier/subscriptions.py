"""Webhook subscriptions: created, changed, given new secrets. Sending to them is the sender's business."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from datalab.store.engine import Sessions
from datalab.store.tables.notifier import SubscriptionRow
from services.notifier.consent import Asked
from services.notifier.sealing import Seal, is_sealed
from services.notifier.signing import new_private_key, new_secret, public_key
from services.notifier.targets import live_secrets

Entries = list[dict[str, Any]]
Ordering = Literal["none", "subject", "all"]


class ConflictError(Exception):
    """The name is taken by another subscription. The message says by what and what to do."""


@dataclass(frozen=True)
class Opened:
    """A subscription with the secret that is shown this once; without one if it existed already."""

    row: SubscriptionRow
    secret: str | None


@dataclass(frozen=True)
class New:
    """What a subscription is to be. `match` is `services.notifier.matching.Matchers` as JSON; with `asymmetric` its
    deliveries are signed with ed25519, too."""

    name: str
    url: str
    event_types: list[str]
    owner: str | None = None
    match: dict[str, Any] | None = None
    ordering: Ordering = "none"
    asymmetric: bool = False

    def difference(self, row: SubscriptionRow) -> str | None:
        """What the existing subscription has instead; None if it is the very same."""
        if row.url != self.url:
            return "another URL"
        if sorted(row.event_types) != sorted(self.event_types):
            return f"the types {', '.join(row.event_types)}"
        wanted = {"owner": self.owner, "match": self.match, "ordering": self.ordering, "signature": self.asymmetric}
        has = {"owner": row.owner, "match": row.match, "ordering": row.ordering, "signature": bool(row.public_key)}
        return next((f"another {name}" for name, value in wanted.items() if has[name] != value), None)


class Subscriptions:
    """Subscriptions in Postgres; their secrets are sealed."""

    def __init__(self, sessions: Sessions, seal: Seal) -> None:
        self._sessions, self._seal = sessions, seal

    async def open(self, new: New) -> Opened:
        """Create it, or find the very same one; raises ConflictError if the name is one with other values."""
        secret, (keys, public) = new_secret(), self._keys(asymmetric=new.asymmetric)
        statement = (
            insert(SubscriptionRow)
            .values(
                id=str(uuid.uuid4()),
                name=new.name,
                url=new.url,
                event_types=new.event_types,
                owner=new.owner,
                match=new.match,
                ordering=new.ordering,
                secrets=[self._entry(secret), *keys],
                public_key=public,
                active=True,
            )
            .on_conflict_do_nothing(index_elements=[SubscriptionRow.name])
            .returning(SubscriptionRow.id)
        )
        async with self._sessions.begin() as session:
            created = await session.scalar(statement)
            row = await session.scalar(select(SubscriptionRow).where(SubscriptionRow.name == new.name))
        if row is None:
            raise ConflictError(f"subscription {new.name} was removed at the same moment; create it again")
        if created:
            return Opened(row, secret)
        if differs := new.difference(row):
            raise ConflictError(f"subscription {new.name} exists with {differs}: change it with PATCH, or remove it")
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
        """Set some columns; None if there is no such subscription. Switching on forgets why it was off, and another
        URL has to agree anew."""

        def changed(row: SubscriptionRow) -> dict[str, Any]:
            more: dict[str, Any] = {}
            if changes.get("active") and not row.active:
                # Its owner hears that it is on again only if they heard, or are to hear, that it was off.
                more |= {"disabled_reason": None, "failing_since": None}
                more["notice"] = "resolved" if row.disabled_at is not None else None
            if changes.get("url", row.url) != row.url:
                more |= {"consented_at": None, "consent": None, "consent_reason": None, "allowed_per_min": None}
            return {**changes, **more}

        return await self._change(key, changed)

    async def note_consent(self, key: str, asked: Asked) -> SubscriptionRow | None:
        """Keep what the endpoint answered; one that does not agree now gets nothing from now on."""
        agreed = func.now() if asked.how else None
        values = {
            "consent": asked.how,
            "consent_reason": asked.reason,
            "consented_at": agreed,
            "allowed_per_min": asked.per_min,
        }
        return await self._change(key, lambda _: values)

    async def rotate(self, key: str, now: datetime, overlap: timedelta) -> Opened | None:
        """Give it new keys; the old ones go on signing beside them until the overlap ends."""
        secret = new_secret()

        def rotated(row: SubscriptionRow) -> dict[str, Any]:
            live = live_secrets(row.secrets, now)
            until = (now + overlap).isoformat()
            old = [{**e, "expires_at": e["expires_at"] or until} for e in row.secrets if e["secret"] in live]
            keys, public = self._keys(asymmetric=row.public_key is not None)
            return {"secrets": [self._entry(secret), *keys, *old], "public_key": public}

        row = await self._change(key, rotated)
        return Opened(row, secret) if row else None

    async def seal_all(self) -> int:
        """Seal what was kept open before secrets were sealed, and open every other, so that a wrong key is noticed at
        the start; returns how many subscriptions were sealed. Raises SealError."""
        sealed = 0
        async with self._sessions.begin() as session:
            for row in await session.scalars(select(SubscriptionRow).order_by(SubscriptionRow.id).with_for_update()):
                for entry in row.secrets:
                    self._seal.open(entry["secret"])
                if not all(is_sealed(entry["secret"]) for entry in row.secrets):
                    row.secrets = [{**e, "secret": self._sealed(e["secret"])} for e in row.secrets]
                    sealed += 1
        return sealed

    async def _change(
        self, key: str, changes: Callable[[SubscriptionRow], Mapping[str, Any]]
    ) -> SubscriptionRow | None:
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

    def _keys(self, *, asymmetric: bool) -> tuple[Entries, str | None]:
        """Entries for the keys beside the secret, and the public half."""
        if not asymmetric:
            return [], None
        private = new_private_key()
        return [self._entry(private)], public_key(private)

    def _entry(self, secret: str) -> dict[str, Any]:
        return {"secret": self._seal.seal(secret), "expires_at": None}

    def _sealed(self, secret: str) -> str:
        return secret if is_sealed(secret) else self._seal.seal(secret)
