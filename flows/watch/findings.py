"""What a look says: checks that pass or fail, and measurements. The vocabulary of this package; no logic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Subject(NamedTuple):
    """What a check is about. One trouble at a time for each."""

    service: str
    check: str

    def __str__(self) -> str:
        return f"{self.service}/{self.check}"


@dataclass(frozen=True)
class Check:
    """A check that was made. `reason` says why it fails; None if it passes."""

    subject: Subject
    reason: str | None = None


@dataclass(frozen=True)
class Measurement:
    """One value of one thing; `name`, `unit` and what `labels` there are, are of `schemas.metrics`."""

    of: str
    name: str
    value: float
    unit: str
    group: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


def one_line(error: BaseException | str, limit: int = 300) -> str:
    """A reason that fits into a line of a message; it may quote bytes of a file that is none of ours."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:limit]
