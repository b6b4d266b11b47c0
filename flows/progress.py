"""How far a long run is, as a progress bar among its artifacts in Prefect."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact

if TYPE_CHECKING:
    from uuid import UUID

# A person sees no more; each is a request.
_EVERY_S = 1.0


class Progress:
    """A bar under one key for a known number of steps. To be used in a flow.

    What it says is never worth the run: while Prefect does not answer, the run goes on without.
    """

    def __init__(self, key: str, steps: int, what: str) -> None:
        """`what` is being done, for people. Of no steps at all there is no bar."""
        self._steps, self._done, self._told = steps, 0, time.monotonic()
        self._bar: UUID | None = None
        if steps:
            self._try(lambda: self._begin(key, what))

    def step(self, what: str) -> None:
        """One more is done, `what`."""
        self._done += 1
        now = time.monotonic()
        if self._done < self._steps and now - self._told < _EVERY_S:
            return
        self._told = now
        self._try(lambda: self._tell(f"{self._done} of {self._steps}: {what}"))

    def _begin(self, key: str, what: str) -> None:
        made = create_progress_artifact(0.0, key=key, description=f"0 of {self._steps}: {what}")
        self._bar = cast("UUID", made)  # a coroutine only where a loop runs

    def _tell(self, line: str) -> None:
        if self._bar is not None:
            update_progress_artifact(self._bar, 100.0 * self._done / self._steps, description=line)

    def _try(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception as error:  # whatever Prefect's client raises
            get_run_logger().warning("progress: not told to Prefect: %s", error)
