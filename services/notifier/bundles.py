"""What a message tells beside its event: the alerts of a group or digest, and why it is sent again. Values only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.alerts import AlertResolved
from schemas.envelope import Event

# A message tells so many alerts by themselves, the worst first, and counts the rest.
SHOWN_AT_MOST = 40
_SEVERITIES = ("critical", "error", "warning", "info")


class Note(BaseModel):
    """Why a message is sent: the alert fires still (`repeat`, by number), was kept back till now (`late`), nobody has
    acknowledged it (`escalation`), another receiver could not be reached (`fallback`), or somebody tries (`test`)."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["repeat", "late", "escalation", "fallback", "test"]
    number: int = 0
    after_s: float = 0.0
    receiver: str = ""
    reason: str = ""


class Notice(BaseModel):
    """`alerts` are the last event of each alert that is shown, the worst first; `counts` are of all, by severity for
    those that fire and `resolved` for those that do not. `labels` name the group."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["group", "digest"] | None = None
    alerts: list[Event] = Field(default_factory=list)
    counts: dict[str, int] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    note: Note | None = None

    @property
    def total(self) -> int:
        """How many alerts it is about."""
        return sum(self.counts.values())


def bundle(kind: Literal["group", "digest"], events: Sequence[Event], labels: dict[str, str] | None = None) -> Notice:
    """The events, in the order in which they came, as one notice. Of each alert only the last counts."""
    last = {str(event.data.get("fingerprint")): event for event in events}
    ordered = sorted(last.values(), key=_worst_first)
    counts = Counter("resolved" if _resolved(event) else str(event.data.get("severity")) for event in ordered)
    return Notice(kind=kind, alerts=ordered[:SHOWN_AT_MOST], counts=dict(counts), labels=labels or {})


def _resolved(event: Event) -> bool:
    return event.type == AlertResolved.type


def _worst_first(event: Event) -> tuple[bool, int]:
    severity = str(event.data.get("severity"))
    return _resolved(event), _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)
