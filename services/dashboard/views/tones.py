"""How well something is, so that it can be coloured. Pure."""

from __future__ import annotations

from typing import Literal

Tone = Literal["good", "bad", "busy", "warn", "plain"]
_GOOD = {"COMPLETED", "delivered", "created", "ok", "resolved", "lab.quality.passed.v1", "lab.run.completed.v1",
         "lab.model.promoted.v1", "lab.alert.resolved.v1", "lab.notification.delivered.v1",
         "lab.service.recovered.v1"}  # fmt: skip
_BAD = {"FAILED", "CRASHED", "dead", "degraded", "critical", "error", "lab.quality.failed.v1", "lab.run.failed.v1",
        "lab.run.crashed.v1", "lab.alert.firing.v1", "lab.notification.failed.v1",
        "lab.service.degraded.v1"}  # fmt: skip
_BUSY = {"RUNNING", "PENDING", "SCHEDULED", "CANCELLING", "PAUSED", "pending", "waiting", "info"}
_WARN = {"warning", "CANCELLED", "suppressed", "lab.score.unusual.v1", "lab.run.overrun.v1", "lab.run.late.v1",
         "lab.model.rejected.v1"}  # fmt: skip


def tone(value: str | None) -> Tone:
    """Of a state, a status, a severity or an event's type; plain for anything else."""
    for name, values in _TONES.items():
        if value in values:
            return name
    return "plain"


_TONES: dict[Tone, set[str]] = {"good": _GOOD, "bad": _BAD, "busy": _BUSY, "warn": _WARN}
