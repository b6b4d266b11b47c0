"""What the HTTP of ingest must remember: who may call, what was answered already, and the users' own types."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Identity, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from datalab.store.base import Base, now_column


class TokenRow(Base):
    """A bearer token. Of the token itself only a SHA-256 is kept: it has 256 random bits, so nobody can guess back.

    `scopes` are patterns such as `type:shop.*`; see datalab.store.tokens. A row that is revoked stays, as evidence.
    """

    __tablename__ = "ingest_tokens"
    __table_args__ = (UniqueConstraint("sha256"), UniqueConstraint("name"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str]
    sha256: Mapped[str]
    scopes: Mapped[list[Any]]
    created_at: Mapped[datetime] = now_column()
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AnswerRow(Base):
    """One Idempotency-Key of one sender: claimed while its request is under way, then with the answer it got.

    `claim` names the request that holds it until `claimed_until`: a process that is killed leaves a claim that ends by
    itself. `created_at` stays over claims, so that what is derived from it is the same in a repeat.
    """

    __tablename__ = "ingest_answers"
    __table_args__ = (Index(None, "expires_at"),)

    sender: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    claim: Mapped[str]
    claimed_until: Mapped[datetime]
    created_at: Mapped[datetime] = now_column()
    expires_at: Mapped[datetime]
    status: Mapped[int | None]
    body: Mapped[bytes | None] = mapped_column(LargeBinary)


class UserSchemaRow(Base):
    """One version of the JSON Schema of a user's type. Versions count from 1 and are never changed."""

    __tablename__ = "ingest_user_schemas"

    type: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    schema: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = now_column()
