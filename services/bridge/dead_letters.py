"""Reading dead letters: what they were, why they died, and choosing some of them. Replaying is `replaying`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from datalab.bus.deadletters import PREFIX, without_origin
from datalab.bus.reader import read_records
from schemas.catalog import DEAD_LETTERS
from schemas.codec import EncodedRecord

# As letters say it that were written before they had headers for it.
_ERROR = re.compile(r"([A-Za-z_]\w*(?:Error|Exception)): ")
_RULE = re.compile(r"\brule ([a-z0-9][a-z0-9-]*): ")
_LEFT = re.compile(r"; its (\d+) bytes are left at ")


@dataclass(frozen=True)
class DeadLetter:
    """A record that a consumer group could not handle. `id` is partition-offset on the topic of dead letters.

    `rules` are those that could not start their run, `left` the bytes of a record too large to be kept here."""

    id: str
    topic: str
    partition: int
    offset: int
    group: str
    reason: str
    at: str
    stage: str
    error: str
    attempts: int
    rules: tuple[str, ...]
    event_id: str | None
    event_type: str | None
    replayof: str | None
    left: int | None
    record: EncodedRecord

    def summary(self) -> dict[str, Any]:
        """All but the record itself."""
        about = {name: value for name, value in self.__dict__.items() if name != "record"}
        return {**about, "rules": list(self.rules), "cannot_be_replayed": self.refusal()}

    def full(self) -> dict[str, Any]:
        """With the record, as text where it is text."""
        key, value, headers = self.record
        shown = {"key": _text(key), "value": _text(value), "headers": {name: _text(v) for name, v in headers}}
        return {**self.summary(), "record": shown}

    def refusal(self) -> str | None:
        """None, or why there is nothing that could be published again."""
        if self.left is not None:
            where = f"{self.topic}[{self.partition}]@{self.offset}"
            return (
                f"its {self.left} bytes were too large for a dead letter and were left at {where}, "
                "for as long as that topic keeps them; publish it from its source, in smaller parts"
            )
        if not self.topic:
            return "it does not say which topic it came from; it was not written by this lab"
        if not self.record.value:
            return "the record had no value (a tombstone), which is no event"
        return None


@dataclass(frozen=True)
class Selection:
    """Which dead letters are meant: those that fit all that is given. `since` and `until` are about their death."""

    group: str = ""
    rule: str = ""
    error: str = ""
    topic: str = ""
    type: str = ""
    event: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, letter: DeadLetter) -> bool:
        """Whether the letter is meant. An error fits by its class, in any case, with or without the word Error."""
        return (
            self.group in ("", letter.group)
            and self.rule in ("", *letter.rules)
            and _class(self.error) in ("", _class(letter.error))
            and self.topic in ("", letter.topic)
            and self.type in ("", letter.event_type)
            and self.event in ("", letter.event_id)
            and self._in_time(letter)
        )

    def _in_time(self, letter: DeadLetter) -> bool:
        if self.since is None and self.until is None:
            return True
        try:
            at = datetime.fromisoformat(letter.at).astimezone(UTC)
        except ValueError:  # not written by this lab
            return False
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


async def read_dead_letters(bootstrap: str, selection: Selection | None = None) -> list[DeadLetter]:
    """The dead letters that are meant, oldest first; raises ConnectionError without a broker."""
    selection = selection or Selection()
    # What died since then was also written since then.
    found = [_letter(record) async for record in read_records(bootstrap, [DEAD_LETTERS], since=selection.since)]
    return sorted(filter(selection.holds, found), key=lambda letter: letter.at)


async def read_some(bootstrap: str, ids: Sequence[str]) -> list[DeadLetter]:
    """These dead letters, in this order; raises LookupError that names those that are not there."""
    known = {letter.id: letter for letter in await read_dead_letters(bootstrap)}
    if missing := [id_ for id_ in ids if id_ not in known]:
        raise LookupError(f"there is no dead letter {', '.join(missing)}; `datalab dlq list` shows them")
    return [known[id_] for id_ in dict.fromkeys(ids)]


def _letter(record: Any) -> DeadLetter:
    headers: Sequence[tuple[str, bytes]] = record.headers
    about = {name.removeprefix(PREFIX): _text(value) or "" for name, value in headers if name.startswith(PREFIX)}
    own, reason = dict(headers), about.get("reason", "")
    named = about["subjects"].split(",") if "subjects" in about else _RULE.findall(reason)
    old_error, old_left = _ERROR.match(reason), _LEFT.search(reason)
    return DeadLetter(
        id=f"{record.partition}-{record.offset}",
        topic=about.get("topic", ""),
        partition=_number(about.get("partition")) or 0,
        offset=_number(about.get("offset")) or 0,
        group=about.get("group", ""),
        reason=reason,
        at=about.get("at", ""),
        stage=about.get("stage", ""),
        error=about.get("error") or (old_error[1] if old_error else ""),
        attempts=_number(about.get("attempts")) or 0,
        rules=tuple(name for name in named if name),
        event_id=_text(own.get("ce_id")),
        event_type=_text(own.get("ce_type")),
        replayof=_text(own.get("ce_replayof") or own.get("replayof")),
        left=_number(about.get("left")) if "left" in about else _number(old_left[1] if old_left else None),
        record=EncodedRecord(record.key, record.value or b"", without_origin(headers)),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _class(error: str) -> str:
    return error.lower().removesuffix("error")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
