"""Which process runs which flow run: a name for Prefect's records, and a mark by which a later worker finds it."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from uuid import UUID

import psutil

_RUN_ID = "PREFECT__FLOW_RUN_ID"


def infrastructure_id(pid: int) -> str:
    """What Prefect keeps as the run's infrastructure: the host and the process number."""
    return f"{socket.gethostname()}:{pid}"


def local_pid(infrastructure: str) -> int | None:
    """The process number if the infrastructure is on this host."""
    host, _, pid = infrastructure.rpartition(":")
    return int(pid) if pid.isdigit() and host in {"", socket.gethostname()} else None


def claim(worker: str) -> str:
    """The message of the state in which a run waits for its process."""
    return f"Claimed by worker {worker} on {socket.gethostname()}."


def mark(flow_run_id: str) -> None:
    """Name this process after its run, for `ps` and for `find`. A fork's environment cannot be seen from outside."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(_name(flow_run_id))


def find(flow_run_id: UUID) -> int | None:
    """The process on this host that runs it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            named = process.name() == _name(str(flow_run_id)) or process.environ().get(_RUN_ID) == str(flow_run_id)
            if named and process.status() != psutil.STATUS_ZOMBIE:
                return process.pid
    return None


def _name(flow_run_id: str) -> str:
    # The kernel keeps 15 bytes.
    return f"run-{flow_run_id.replace('-', '')[-11:]}"
