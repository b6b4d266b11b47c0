"""Runs that end badly: killed, cancelled, over their limits. Prefect and people are told, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from tests.support.polling import wait_for
from tests.support.warm_worker import Pool, Start, Worker

SLEEPER = """
    import os, signal, subprocess, sys, time
    from prefect import flow

    def cancelled(flow, flow_run, state):
        with open(f"{flow_run.id}.hooks", "a") as file:
            print("cancelled", file=file)

    def crashed(flow, flow_run, state):
        with open(f"{flow_run.id}.hooks", "a") as file:
            print("crashed", file=file)

    @flow(on_cancellation=[cancelled], on_crashed=[crashed])
    def sleeper(deaf=False, child=False):
        if deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if child:
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(f"{os.environ['PREFECT__FLOW_RUN_ID']}.pid", "w") as file:
            print(os.getpid(), file=file)
        print("about to sleep")
        end = time.monotonic() + 600
        while time.monotonic() < end:
            try:
                time.sleep(0.1)
            except BaseException:
                if not deaf:
                    raise
"""
HUNGRY = """
    import time
    from prefect import flow

    @flow
    def hungry():
        hoard = []
        while True:
            hoard.append(bytearray(b"x") * (8 << 20))
            time.sleep(0.02)
"""
LATE_IMPORT = """
    import os, time
    from prefect import flow

    time.sleep(8)

    @flow
    def late_import():
        with open("late_import.ran", "a") as file:
            print(os.environ["PREFECT__FLOW_RUN_ID"], file=file)
"""


@pytest.fixture(scope="module")
def worker(pool: Pool, start_worker: Start) -> Worker:
    pool.deploy("sleeper", SLEEPER, job_variables={"grace_s": 2})
    pool.deploy("hungry", HUNGRY, job_variables={"memory_limit_mib": 512})
    worker = start_worker()
    worker.says("2 flows imported")
    return worker


@pytest.fixture
def sleeping(pool: Pool, worker: Worker) -> Callable[..., tuple[str, int]]:
    """Start a run that sleeps; its id and process."""

    def start(**parameters: bool) -> tuple[str, int]:
        run_id = pool.start("sleeper", parameters)
        return run_id, int(pool.told(f"{run_id}.pid"))

    return start


def test_a_killed_run_is_reported_within_ten_seconds(pool: Pool, sleeping: Callable[..., tuple[str, int]]) -> None:
    run_id, pid = sleeping()
    killed_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    state = pool.ended(run_id, within_s=10)["state"]
    assert time.monotonic() - killed_at < 10
    assert state["type"] == "CRASHED"
    assert "ended by SIGKILL" in state["message"]
    assert "about to sleep" in state["message"]
    assert "MiB of memory" in state["message"]
    assert pool.told(f"{run_id}.hooks") == "crashed"


def test_a_cancelled_run_ends_with_its_children(pool: Pool, sleeping: Callable[..., tuple[str, int]]) -> None:
    run_id, pid = sleeping(child=True)
    child = wait_for(lambda: psutil.Process(pid).children(), what="the run's child process")[0]
    pool.cancel(run_id)
    assert pool.ended(run_id)["state"]["type"] == "CANCELLED"
    assert pool.told(f"{run_id}.hooks") == "cancelled"
    wait_for(lambda: not psutil.pid_exists(pid) and not child.is_running(), what="the end of both processes")


def test_a_run_that_ignores_sigterm_is_killed(pool: Pool, sleeping: Callable[..., tuple[str, int]]) -> None:
    run_id, pid = sleeping(deaf=True)
    pool.cancel(run_id)
    state = pool.ended(run_id)["state"]
    assert state["type"] == "CANCELLED"
    assert not psutil.pid_exists(pid)
    assert pool.told(f"{run_id}.hooks") == "cancelled"


def test_a_run_that_eats_memory_is_ended(pool: Pool, worker: Worker) -> None:
    state = pool.ended(pool.start("hungry"))["state"]
    assert state["type"] == "CRASHED"
    assert "its limit is 512 MiB" in state["message"]


def test_a_run_over_its_time_is_ended(pool: Pool, worker: Worker) -> None:
    run_id = pool.start("sleeper", job_variables={"time_limit_s": 1.5})
    state = pool.ended(run_id)["state"]
    assert state["type"] == "CRASHED"
    assert "its limit is 1.5 s" in state["message"]
    assert pool.told(f"{run_id}.hooks") == "crashed"
    assert pool.states(run_id).count("Crashed") == 1


def test_a_run_that_leaves_without_a_word_has_crashed(pool: Pool, worker: Worker) -> None:
    pool.deploy("leaver", "import os\nfrom prefect import flow\n\n@flow\ndef leaver():\n    os._exit(0)\n")
    state = pool.ended(pool.start("leaver"))["state"]
    assert state["type"] == "CRASHED"
    assert "exit code 0 before the run reported" in state["message"]


def test_a_run_is_cancelled_before_its_time(pool: Pool, worker: Worker) -> None:
    run_id = pool.start(
        "sleeper", state={"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00Z"}}
    )
    pool.cancel(run_id)
    assert pool.ended(run_id)["state"]["type"] == "CANCELLED"


def test_a_run_is_cancelled_while_it_waits_for_its_process(pool: Pool, worker: Worker) -> None:
    pool.deploy("late_import", LATE_IMPORT)
    run_id = pool.start("late_import")
    wait_for(lambda: pool.run(run_id)["state"]["type"] == "PENDING", what="Pending")
    pool.cancel(run_id)
    assert pool.ended(run_id)["state"]["type"] == "CANCELLED"
    following = pool.start("late_import")
    assert pool.ended(following)["state"]["type"] == "COMPLETED"
    assert "Running" not in pool.states(run_id)
    assert pool.told("late_import.ran") == following
