"""CPU and memory of a worker's processes, and under which name they are told."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil

from datalab.worker.figures import figures, known_as
from schemas.metrics import SERVICE_CPU, SERVICE_MEMORY


def test_the_processes_are_summed_and_one_that_is_gone_is_left_out() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ours = psutil.Process()
    spent = sum(ours.cpu_times()[:2])
    told = {event.data["name"]: event.data["value"] for event in figures("worker-etl", [os.getpid(), gone.pid])}
    assert spent <= told[SERVICE_CPU] <= sum(ours.cpu_times()[:2])
    assert 0.5 < told[SERVICE_MEMORY] / ours.memory_info().rss < 2


def test_they_are_told_under_the_workers_name_or_its_pools_where_prefect_made_one_up() -> None:
    [cpu, _] = figures("worker-etl", [os.getpid()])
    assert (cpu.subject, cpu.data["of"]) == ("worker-etl", "worker-etl")
    assert known_as("worker-etl", "etl-pool", "WarmProcessWorker") == "worker-etl"
    made_up = "WarmProcessWorker 1f5e3c70-6d0e-4a35-a3a5-0e9a6f3d1f0a"
    assert known_as(made_up, "etl-pool", "WarmProcessWorker") == "etl-pool"
