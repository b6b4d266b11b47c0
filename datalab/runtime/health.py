"""Readiness of a process, as named checks that each answer with a reason. Prove progress, not mere life."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Check = Callable[[], Awaitable[str | None]]
Note = Callable[[], str | None]


@dataclass(frozen=True)
class CheckResult:
    """Outcome of one check; `reason` is None where it passed. A `concern` is worth telling and no failure."""

    name: str
    reason: str | None
    concern: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the check passed."""
        return self.reason is None


class Health:
    """The readiness checks of one process. Checks run side by side, each with a deadline."""

    def __init__(self, *, deadline_s: float = 2.0) -> None:
        self._checks: dict[str, Check] = {}
        self._notes: dict[str, Note] = {}
        self._deadline_s = deadline_s

    def check(self, name: str, check: Check) -> None:
        """Register a check: it returns None when all is well, else the reason; raising counts as a reason."""
        self._checks[name] = check

    def note(self, name: str, note: Note) -> None:
        """Register something that is told where it says so, and never makes the process unready: a supervisor that
        restarts what is not ready would turn a user's mistake in a file into an outage."""
        self._notes[name] = note

    async def results(self) -> list[CheckResult]:
        """Run every check now."""
        checked = await asyncio.gather(*(self._run(name, check) for name, check in self._checks.items()))
        return [*checked, *(CheckResult(name, None, note()) for name, note in self._notes.items())]

    async def _run(self, name: str, check: Check) -> CheckResult:
        try:
            return CheckResult(name, await asyncio.wait_for(check(), self._deadline_s))
        except TimeoutError:
            return CheckResult(name, f"no answer within {self._deadline_s:g} s")
        except Exception as error:
            return CheckResult(name, f"{type(error).__name__}: {error}"[:300])
