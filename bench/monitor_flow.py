"""Seconds that the monitoring flow takes in a whole lab: with everything up, and with three services that hang.

The flow runs in a process of its own with the environment of the lab's parts, as a worker would run it; timed is the
flow itself, without Python's start. Services hang by SIGSTOP: they accept connections and never answer.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from bench.harness import Spread, repeat
from datalab.local.state import LabState
from datalab.runtime.settings import PROJECT_ROOT
from tests.support.lab_parts import lab_parts

_PARTS = ("ingest", "bridge", "monitor", "notifier", "mlflow", "spark", "inbox", "deployments")
_PATIENCE_S, _ROUNDS_S = 90.0, 50.0
_HANGING = ("mlflow", "notifier", "ingest")
_TIMED = """
import json, time
from flows.monitoring_flow import monitoring_pipeline
begun = time.perf_counter()
told = monitoring_pipeline()
print(json.dumps({"seconds": time.perf_counter() - begun, "findings": sorted(told["findings"])}))
"""


def flow_figures(repeats: int, tell: Callable[[Mapping[str, Spread]], None]) -> None:
    """So many runs of each kind on one lab, told as soon as they are known. The first, which makes what is not there
    yet, is not counted."""
    with tempfile.TemporaryDirectory(prefix="datalab-bench-") as home, lab_parts(Path(home), _PARTS) as lab:
        environment = psutil.Process(_pid(lab, "bridge")).environ()
        _run(environment)
        tell(repeat(repeats, lambda _: _well(environment), within_s=_ROUNDS_S))
        stopped = [process for name in _HANGING for process in _tree(_pid(lab, name))]
        for process in stopped:
            process.send_signal(signal.SIGSTOP)
        try:
            tell(repeat(repeats, lambda _: _hanging(environment), within_s=_ROUNDS_S))
        finally:
            for process in stopped:
                process.send_signal(signal.SIGCONT)


def _well(environment: Mapping[str, str]) -> dict[str, float]:
    seconds, findings = _run(environment)
    return {"flow_s": seconds, "findings_while_well": float(len(findings))}


def _hanging(environment: Mapping[str, str]) -> dict[str, float]:
    seconds, findings = _run(environment)
    found = {finding.partition("/")[0] for finding in findings}
    if not set(_HANGING) <= found:
        sys.exit(f"the flow did not notice what hangs: {sorted(found)}")
    return {"flow_three_hanging_s": seconds}


def _run(environment: Mapping[str, str]) -> tuple[float, list[str]]:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TIMED], cwd=PROJECT_ROOT, env=dict(environment), capture_output=True, text=True,
            check=False, timeout=_PATIENCE_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        sys.exit(f"the flow was not done within {_PATIENCE_S:g} s:\n{str(error.stderr)[-2000:]}")
    if done.returncode:
        sys.exit(f"the flow failed:\n{done.stderr[-3000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return float(told["seconds"]), list(told["findings"])


def _tree(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def _pid(lab: LabState, part: str) -> int:
    pid = lab.parts[part].pid
    assert pid is not None
    return pid
