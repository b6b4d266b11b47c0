"""How a lab is doing right now: the supervisor's record, joined with what the system says of its processes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from datalab.local.control import running
from datalab.local.layout import LabLayout
from datalab.local.marked import find_marked
from datalab.local.state import WELL, LabState, PartStatus

_MIB = 1024 * 1024


@dataclass(frozen=True)
class PartReport:
    """One row of `datalab status`. `memory_mib` counts the part's processes and all that they started."""

    name: str
    state: str
    healthy: bool
    reason: str | None
    port: int | None
    ports: dict[str, int]
    pid: int | None
    processes: int
    memory_mib: float
    restarts: int
    uptime_s: float | None
    start_s: float | None
    url: str | None
    log: str


@dataclass(frozen=True)
class LabReport:
    """The answer of `datalab status`."""

    state: str
    home: str
    lab_id: str
    uptime_s: float | None
    ready_s: float | None
    moved_ports: dict[str, list[int]]
    parts: list[PartReport]
    totals: dict[str, float]
    leftovers: int

    @property
    def healthy(self) -> bool:
        return self.state == "ready" and all(part.healthy for part in self.parts)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "healthy": self.healthy}


def report(layout: LabLayout) -> LabReport:
    """Look at the lab now. A lab whose supervisor is gone is stopped, whatever its file says."""
    state = running(layout)
    groups: dict[str, list[psutil.Process]] = defaultdict(list)
    for marked in find_marked(layout.lab_id):
        groups[marked.part].append(marked.process)
    if state is None:
        leftovers = sum(map(len, groups.values()))
        return LabReport("stopped", str(layout.home), layout.lab_id, None, None, {}, [], _totals([]), leftovers)
    parts = [_part(status, groups.get(status.name, [])) for status in state.parts.values()]
    parts += _own(state)
    return LabReport(
        state.phase,
        state.home,
        state.lab_id,
        round(time.time() - state.started, 1),
        state.ready_seconds,
        state.moved_ports,
        parts,
        _totals(parts),
        0,
    )


def _part(status: PartStatus, processes: list[psutil.Process]) -> PartReport:
    alive = status.pid is None or psutil.pid_exists(status.pid)
    return PartReport(
        name=status.name,
        state=status.state if alive else "backing-off",
        healthy=alive and status.state in WELL,
        reason=status.reason,
        port=next(iter(status.ports.values()), None),
        ports=status.ports,
        pid=status.pid if alive else None,
        processes=len(processes),
        memory_mib=round(sum(map(memory_of, processes)) / _MIB, 1),
        restarts=status.restarts,
        uptime_s=round(time.time() - status.since, 1) if status.since and status.pid and alive else None,
        start_s=status.start_seconds,
        url=status.url,
        log=status.log,
    )


def _own(state: LabState) -> list[PartReport]:
    """The supervisor and its watchdog, which are part of the price."""
    rows = []
    for name, pid in (("supervisor", state.supervisor_pid), ("watchdog", state.watchdog_pid)):
        if pid is None:
            continue
        try:
            process = psutil.Process(pid)
        except psutil.NoSuchProcess:
            continue
        rows.append(
            PartReport(
                name,
                "ready",
                True,
                None,
                None,
                {},
                pid,
                1,
                round(memory_of(process) / _MIB, 1),
                0,
                round(time.time() - state.started, 1),
                None,
                None,
                str(Path(state.home) / "logs" / f"{name}.log"),
            )
        )
    return rows


def _totals(parts: Iterable[PartReport]) -> dict[str, float]:
    parts = list(parts)
    return {
        "parts": len(parts),
        "healthy": sum(part.healthy for part in parts),
        "processes": sum(part.processes for part in parts),
        "memory_mib": round(sum(part.memory_mib for part in parts), 1),
        "restarts": sum(part.restarts for part in parts),
    }


def memory_of(process: psutil.Process) -> int:
    """Resident bytes, a page that processes share counted once in all (PSS), where the system tells; else RSS."""
    try:
        with Path(f"/proc/{process.pid}/smaps_rollup").open() as stream:
            for line in stream:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
