"""Why a record could not be handled, as it is told with its dead letter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from datalab.bus.retry import PermanentError

Stage = Literal["decode", "handle"]


@dataclass(frozen=True)
class Fault:
    """`group` gave up after so many attempts at this stage. `subjects` are whose fault it is, such as rules."""

    group: str
    reason: str
    stage: Stage = "handle"
    error_class: str = "PermanentError"
    attempts: int = 1
    subjects: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: Exception, group: str, attempts: int, stage: Stage = "handle") -> Fault:
        """The fault that this error is."""
        kind = type(error)
        reason = str(error) if stage == "decode" else f"{kind.__name__}: {error}"
        subjects = error.subjects if isinstance(error, PermanentError) else ()
        cause = error.cause if isinstance(error, PermanentError) else ""
        return cls(group, reason, stage, cause or kind.__name__, attempts, subjects)
