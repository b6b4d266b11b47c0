"""`datalab …` as a process of its own: what it prints is its own, whatever else this process runs and logs.

`CliRunner` puts its own `sys.stdout` in place for the whole process, so that a service running here logs into what the
command is thought to have said. It is for commands that nothing runs beside.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys

from datalab.runtime.settings import PROJECT_ROOT


async def datalab(*words: str) -> subprocess.CompletedProcess[str]:
    """The command in this process's environment, ended, while the loop goes on."""
    command = [sys.executable, "-m", "datalab.cli.main", *words]
    return await asyncio.to_thread(
        subprocess.run, command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120, check=False
    )
