"""What a warm worker reads from the environment beside the lab's settings. Limits of runs are the work pool's."""

from __future__ import annotations

import sys
from typing import Literal

from pydantic import Field

from datalab.runtime.settings import LabSettings

WORKER_TYPE = "warm-process"


def default_start_method() -> Literal["fork", "spawn"]:
    """Forking a loaded process is safe on Linux; macOS's own libraries do not survive it."""
    return "fork" if sys.platform == "linux" else "spawn"


class WorkerSettings(LabSettings):
    """Times are seconds."""

    # Modules that flows import only inside functions, separated by commas.
    preload: str = Field(default="", validation_alias="DATALAB_WORKER_PRELOAD")
    start_method: Literal["fork", "spawn"] = Field(
        default_factory=default_start_method, validation_alias="DATALAB_WORKER_START_METHOD"
    )
    import_s: float = Field(default=120.0, gt=0, validation_alias="DATALAB_WORKER_IMPORT_S")
    # How long a worker that was told to end waits for its runs; those that last longer go on by themselves.
    farewell_s: float = Field(default=5.0, ge=0, validation_alias="DATALAB_WORKER_FAREWELL_S")

    @property
    def modules(self) -> tuple[str, ...]:
        """`preload`, as a tuple."""
        return tuple(name for part in self.preload.split(",") if (name := part.strip()))
