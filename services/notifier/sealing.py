"""Secrets of subscriptions at rest: sealed with a key that is not in the database (Fernet: AES-128-CBC with HMAC)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

_SEALED = "sealed:"
# How many opened secrets a process remembers; opening one costs more than signing with it.
_REMEMBERED = 10_000


class SealError(ValueError):
    """A key or a sealed text cannot be used. The message says what to do, and never holds either."""


class Seal:
    """Seals with the first key, opens with any: put a new key before the old one to replace it."""

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise SealError(
                "NOTIFIER_SECRET_KEY: each key, separated by commas, must be 32 bytes in URL-safe base64; "
                "`python -m services.notifier.sealing` makes one"
            ) from None
        self._open = lru_cache(_REMEMBERED)(self._opened)

    def seal(self, text: str) -> str:
        """The text as it is kept."""
        return _SEALED + self._fernet.encrypt(text.encode()).decode()

    def open(self, kept: str) -> str:
        """The text that was sealed; one from before secrets were sealed is as it stands. Raises SealError."""
        return self._open(kept) if is_sealed(kept) else kept

    def _opened(self, kept: str) -> str:
        try:
            return self._fernet.decrypt(kept.removeprefix(_SEALED)).decode()
        except InvalidToken:
            raise SealError(
                "a secret was sealed with another key: add the key of before to NOTIFIER_SECRET_KEY, or bring back "
                "its file, or give the subscription a new secret"
            ) from None


def is_sealed(kept: str) -> bool:
    """Whether a text from the database is sealed."""
    return kept.startswith(_SEALED)


def load_seal(given: str | None, file: Path) -> Seal:
    """The seal with the given keys (separated by commas), else with the key in the file, which is made if it is not
    there, for its owner alone to read. Raises SealError and OSError."""
    if given:
        return Seal([key.strip() for key in given.split(",") if key.strip()])
    with suppress(FileExistsError):
        _make(file)
    return Seal([file.read_text("ascii").strip()])


def _make(file: Path) -> None:
    """Write a new key, whole or not at all; raises FileExistsError if another process was first."""
    if file.exists():
        raise FileExistsError(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as stream:
        stream.write(Fernet.generate_key().decode() + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(draft, file)
    finally:
        draft.unlink()


if __name__ == "__main__":
    print(Fernet.generate_key().decode())  # noqa: T201 - this is what it is for
