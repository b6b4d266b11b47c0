"""Bearer tokens: made, listed, revoked and recognised. Of a token only its SHA-256 is kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from datalab.store.engine import Sessions
from datalab.store.tables.ingest_api import TokenRow

# So that a scanner of sources or logs recognises one; datalab.runtime.logs cuts it out.
PREFIX = "dlt_"
_SCOPE = re.compile(r"(type|topic|schemas|notifier|bridge|monitor):[A-Za-z0-9._*-]{1,200}")


@dataclass(frozen=True)
class Token:
    """What a token allows. Scopes are `type:PATTERN` and `topic:PATTERN` (publish what fits either) and
    `schemas:PATTERN` (register these types); of the notifier `notifier:read`, `notifier:write` or `notifier:*`;
    `bridge:write` and `monitor:write` for changes at these. In a pattern `*` stands for any text. Times are UTC."""

    id: int
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def fault(self, now: datetime) -> str | None:
        """None while it is valid, else why not."""
        if self.revoked_at is not None:
            return "it was revoked"
        return "it has expired" if self.expires_at is not None and self.expires_at <= now else None

    def may_publish(self, type_: str, topic: str) -> bool:
        """Whether it may publish events of this type, which go to this topic."""
        return self._covers("type", type_) or self._covers("topic", topic)

    def may_register(self, type_: str) -> bool:
        """Whether it may register schemas of this type."""
        return self._covers("schemas", type_)

    def may_notifier(self, what: str) -> bool:
        """Whether it may `read` what the notifier has, or `write`: change it."""
        return self._covers("notifier", what)

    def may_change(self, service: str) -> bool:
        """Whether it may change what this service (`bridge`, `monitor`) has."""
        return self._covers(service, "write")

    def _covers(self, kind: str, name: str) -> bool:
        return any(fnmatchcase(f"{kind}:{name}", scope) for scope in self.scopes)


class Tokens:
    """The tokens of one lab. Methods raise what SQLAlchemy raises while Postgres is away."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def create(self, name: str, scopes: Sequence[str], expires_at: datetime | None) -> tuple[Token, str]:
        """A new token and its text, which nobody can read again. Raises ValueError for a name that is taken or a
        scope that is none."""
        for scope in scopes:
            if not _SCOPE.fullmatch(scope):
                raise ValueError(
                    f"scope {scope!r} must be type:PATTERN, topic:PATTERN, schemas:PATTERN, notifier:PATTERN, "
                    "bridge:write or monitor:write"
                )
        secret = PREFIX + secrets.token_urlsafe(32)
        values = {"name": name, "sha256": _hash(secret), "scopes": list(scopes), "expires_at": expires_at}
        statement = insert(TokenRow).values(**values).on_conflict_do_nothing().returning(TokenRow)
        async with self._sessions.begin() as session:
            row = await session.scalar(statement)
        if row is None:
            raise ValueError(f"there is a token {name!r} already; revoked ones keep their names too")
        return _token(row), secret

    async def all(self) -> list[Token]:
        """Every token, also expired and revoked ones, oldest first."""
        async with self._sessions() as session:
            return [_token(row) for row in await session.scalars(select(TokenRow).order_by(TokenRow.id))]

    async def revoke(self, name: str) -> Token:
        """Make it invalid, for good; again is no error. Raises LookupError if there is none of that name."""
        revoked = func.coalesce(TokenRow.revoked_at, func.now())
        statement = update(TokenRow).where(TokenRow.name == name).values(revoked_at=revoked).returning(TokenRow)
        async with self._sessions.begin() as session:
            row = await session.scalar(statement)
        if row is None:
            raise LookupError(f"there is no token {name!r}; `datalab tokens list` shows them")
        return _token(row)

    async def find(self, secret: str) -> Token | None:
        """The token with this text, valid or not; None if nobody made it."""
        async with self._sessions() as session:
            row = await session.scalar(select(TokenRow).where(TokenRow.sha256 == _hash(secret)))
        return None if row is None else _token(row)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _token(row: TokenRow) -> Token:
    return Token(row.id, row.name, tuple(row.scopes), row.created_at, row.expires_at, row.revoked_at)
