"""What a part of the lab is: what it needs, how its process is started, and how one knows that it is ready.

A part decides and probes; it holds no process. Starting, watching and restarting are the supervisor's.
"""

from __future__ import annotations

import asyncio
import pwd
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from datalab.local.class_archive import ClassArchives
from datalab.local.jars import JarCache
from datalab.local.java import Java
from datalab.local.layout import LabLayout
from datalab.local.marked import PART_MARK
from datalab.runtime.settings import PROJECT_ROOT


@dataclass(frozen=True)
class Lab:
    """What parts may know of the lab they belong to. `env` is the environment of every process."""

    layout: LabLayout
    ports: Mapping[str, int]
    env: Mapping[str, str] = field(repr=False)
    database_url: str = field(repr=False)
    jars: JarCache
    java: Java | None = None
    archives: ClassArchives | None = None

    def need_java(self) -> Java:
        if self.java is None:
            raise PartError("Java is needed for this part; run: datalab doctor")
        return self.java

    def class_options(self, part: str) -> list[str]:
        """What makes the JVM of this part start faster; maybe nothing."""
        return self.archives.options(part) if self.archives else []


@dataclass(frozen=True)
class Command:
    """A process to start. `user` is an account's name, or None for one's own. An `env` value of None removes a name."""

    argv: Sequence[str]
    env: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    cwd: Path = PROJECT_ROOT
    user: str | None = None

    def environment(self, lab_env: Mapping[str, str], part: str) -> dict[str, str]:
        """The whole environment of the process, with the part's mark."""
        merged = {**lab_env, **self.env, PART_MARK: part}
        return {key: value for key, value in merged.items() if value is not None}


class PartError(RuntimeError):
    """A part cannot start, for a reason that the message gives in one line."""


class Part:
    """One part of the lab. Subclasses override what differs."""

    name: str
    needs: tuple[str, ...] = ()
    # Name of the port in `Lab.ports` -> the wanted number.
    ports: Mapping[str, int] = MappingProxyType({})
    # Runs to its end with exit code 0 rather than being kept alive.
    one_shot: bool = False
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 8.0
    # Whether processes that it started go on when it dies, as the flow runs of a worker do.
    children_outlive_it: bool = False
    # How long it may answer badly, while alive, before it is restarted.
    unhealthy_seconds: float = 90.0

    async def prepare(self, lab: Lab) -> None:
        """What must be on disk before the process starts. Idempotent; runs before every start."""

    def command(self, lab: Lab) -> Command | None:
        """The process; None for a part that runs elsewhere and is only checked."""
        raise NotImplementedError

    async def ready(self, lab: Lab) -> str | None:
        """None if the part answers by its own protocol, else what it lacks. May raise OSError."""
        return None

    async def settle(self, lab: Lab) -> None:
        """What others rely on and can be done only once it answers. Idempotent; after every start."""

    def url(self, lab: Lab) -> str | None:
        """Where a person finds it; None if there is nothing to open."""
        return None


async def run_step(lab: Lab, part: str, command: Command, seconds: float = 120) -> None:
    """Run a preparing command to its end, its output in the part's log; raises PartError if it fails."""
    lab.layout.logs.mkdir(parents=True, exist_ok=True)
    with lab.layout.log(part).open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            env=command.environment(lab.env, part),
            cwd=command.cwd,
            **account_options(command.user),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            code = await asyncio.wait_for(process.wait(), seconds)
        except (TimeoutError, asyncio.CancelledError):
            process.kill()
            raise
    if code != 0:
        raise PartError(f"{Path(command.argv[0]).name} ended with exit code {code}; see {lab.layout.log(part)}")


def account_options(user: str | None) -> dict[str, Any]:
    """What starts a process as another account: with its group too, or the folders' rights would be read wrongly."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
