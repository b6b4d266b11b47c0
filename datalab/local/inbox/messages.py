"""Messages as they were received, kept as one file each, so that a restart or a kill -9 loses none."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datalab.local.files import write_atomically
from datalab.runtime.logs import get_logger

log = get_logger(__name__)
ChannelName = Literal["email", "slack", "teams", "webhook"]
Verified = Literal["true", "false", "unknown"]


class Mail(BaseModel):
    """What a mail program shows of a message."""

    sender: str
    recipients: list[str]
    subject: str
    message_id: str | None
    in_reply_to: str | None
    references: str | None
    text: str
    html: str


class Message(BaseModel):
    """One message. `refused` says why the inbox did not accept it, as the real receiver would not have."""

    model_config = ConfigDict(frozen=True)

    id: str
    channel: ChannelName
    received_at: datetime
    title: str
    snippet: str = ""
    path: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    body: str = ""
    payload: Any = None
    mail: Mail | None = None
    verified: Verified | None = None
    refused: str | None = None

    def mentions(self, words: str) -> bool:
        """Whether the words occur in what a reader sees or in the raw message; capitals do not matter."""
        parts = [self.title, self.snippet, self.path or "", self.body, *self.headers.values()]
        if self.mail is not None:
            parts += [self.mail.text, self.mail.html, self.mail.subject]
        return words.casefold() in "\n".join(parts).casefold()


class MessageBox:
    """The messages in order of arrival. `keep` bounds their number."""

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder, self._keep = folder, keep
        self._numbers = itertools.count()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._messages = {message.id: message for message in _stored(folder)}

    def __len__(self) -> int:
        return len(self._messages)

    def new_id(self) -> str:
        """An id that sorts by time."""
        return f"{time.time_ns():019d}-{next(self._numbers) % 10_000:04d}"

    def add(self, channel: ChannelName, title: str, **more: Any) -> Message:
        """Store a message and return it."""
        message = Message(id=self.new_id(), channel=channel, received_at=datetime.now(UTC), title=title or "—", **more)
        write_atomically(self._file(message.id), message.model_dump_json())
        self._messages[message.id] = message
        while len(self._messages) > self._keep:
            self._remove(next(iter(self._messages)))
        log.info("message.received", message_id=message.id, channel=channel, refused=message.refused)
        return message

    def get(self, message_id: str) -> Message | None:
        """The message of that id."""
        return self._messages.get(message_id)

    def newest_first(self) -> Iterator[Message]:
        """Every message, the newest first."""
        return iter(list(reversed(self._messages.values())))

    def clear(self) -> int:
        """Remove all; returns how many there were."""
        ids = list(self._messages)
        for message_id in ids:
            self._remove(message_id)
        return len(ids)

    def _remove(self, message_id: str) -> None:
        del self._messages[message_id]
        self._file(message_id).unlink(missing_ok=True)

    def _file(self, message_id: str) -> Path:
        return self._folder / f"{message_id}.json"


def _stored(folder: Path) -> Iterator[Message]:
    for file in sorted(folder.glob("[0-9]*.json")):
        try:
            yield Message.model_validate_json(file.read_bytes())
        except (ValidationError, OSError) as error:
            log.warning("message.unreadable", file=file.name, reason=type(error).__name__)
