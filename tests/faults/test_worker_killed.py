"""kill -9 and SIGTERM of the worker and of its warm parent: runs go on, are reported, and nothing is left behind."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from tests.support.polling import wait_for
from tests.support.warm_worker import Pool, Start, Worker, pool, start_worker

__all__ = ["pool", "start_worker"]  # fixtures

WAITER = """
    import os, time
    from pathlib import Path
    from prefect import flow

    @flow
    def waiter(until):
        with open(f"{os.environ['PREFECT__FLOW_RUN_ID']}.pid", "w") as file:
            print(os.getpid(), file=file)
        print("waiting", flush=True)
        while not Path(until).exists():
            time.sleep(0.05)
"""
QUICK = """
    from prefect import flow

    @flow
    def quick():
        pass
"""


@pytest.fixture(scope="module", autouse=True)
def flows(pool: Pool) -> None:
    pool.deploy("waiter", WAITER)
    pool.deploy("quick", QUICK)


def waiting(pool: Pool, until: str) -> tuple[str, int]:
    run_id = pool.start("waiter", {"until": until})
    return run_id, int(pool.told(f"{run_id}.pid"))


def warm_parent(worker: Worker) -> psutil.Process:
    worker.says("flows imported")
    return worker.zygotes()[0]


def zombies(worker: Worker) -> list[psutil.Process]:
    """Children of the worker that have ended and that it has not asked after."""

    def is_one(child: psutil.Process) -> bool:
        try:
            return child.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return [child for child in psutil.Process(worker.process.pid).children() if is_one(child)]


def test_a_killed_warm_parent_takes_no_run_along(pool: Pool, start_worker: Start) -> None:
    worker = start_worker("parent-killed")
    survivor, _ = waiting(pool, "go-1")
    victim, victim_pid = waiting(pool, "never")
    warm_parent(worker).kill()
    assert pool.ended(pool.start("quick"))["state"]["type"] == "COMPLETED"
    worker.says("is gone; starting another")
    os.kill(victim_pid, signal.SIGKILL)
    killed = pool.ended(victim, within_s=10)["state"]
    assert killed["type"] == "CRASHED"
    assert "SIGKILL" in killed["message"]
    (pool.folder / "go-1").touch()
    assert pool.ended(survivor)["state"]["type"] == "COMPLETED"
    wait_for(lambda: not zombies(worker), what="the end of what died")
    worker.terminate()


def test_a_killed_workers_runs_go_on_and_its_successor_watches_them(pool: Pool, start_worker: Start) -> None:
    first = start_worker("successor")
    finishing, _ = waiting(pool, "go-2")
    killed_later, later_pid = waiting(pool, "never")
    killed_meanwhile, meanwhile_pid = waiting(pool, "never")
    cancelled, cancelled_pid = waiting(pool, "never")
    first.kill()
    (pool.folder / "go-2").touch()
    assert pool.ended(finishing)["state"]["type"] == "COMPLETED"
    os.kill(meanwhile_pid, signal.SIGKILL)
    second = start_worker("successor")
    second.says(f"still goes on as process {later_pid}")
    assert pool.ended(killed_meanwhile, within_s=20)["state"]["type"] == "CRASHED"
    os.kill(later_pid, signal.SIGKILL)
    assert pool.ended(killed_later, within_s=10)["state"]["type"] == "CRASHED"
    pool.cancel(cancelled)
    assert pool.ended(cancelled, within_s=20)["state"]["type"] == "CANCELLED"
    wait_for(lambda: not psutil.pid_exists(cancelled_pid), 10, "the end of the cancelled process")
    second.terminate()


def test_what_a_killed_worker_had_only_claimed_is_started_once(pool: Pool, start_worker: Start) -> None:
    """The claim is written as the worker writes it, since the moment after it lasts only milliseconds."""
    from datalab.worker.identity import claim

    run_id = pool.start("quick")
    pending = {"type": "PENDING", "message": claim("claimer")}
    assert pool.call("POST", f"/flow_runs/{run_id}/set_state", {"state": pending})["status"] == "ACCEPT"
    worker = start_worker("claimer")
    assert pool.ended(run_id)["state"]["type"] == "COMPLETED"
    assert pool.states(run_id).count("Running") == 1
    worker.terminate()


def test_a_worker_that_is_told_to_end_leaves_its_runs_alone(pool: Pool, start_worker: Start) -> None:
    worker = start_worker("told", DATALAB_WORKER_FAREWELL_S="1")
    run_id, _ = waiting(pool, "go-3")
    zygotes = [zygote.pid for zygote in worker.zygotes()]
    worker.terminate()
    assert "goes on by itself" in worker.log.read_text()
    assert pool.run(run_id)["state"]["type"] == "RUNNING"
    (pool.folder / "go-3").touch()
    assert pool.ended(run_id)["state"]["type"] == "COMPLETED"
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in zygotes), 20, "the end of the warm parents")


def test_twenty_at_once_leave_nothing_behind(pool: Pool, start_worker: Start) -> None:
    worker = start_worker("burst")
    assert pool.ended(pool.start("quick"))["state"]["type"] == "COMPLETED"
    parent, process = warm_parent(worker), psutil.Process(worker.process.pid)
    # A run says that it is completed before its process ends; until then the parent holds its end of a pipe to it.
    wait_for(lambda: parent.children() == [], what="the end of the first run's process")
    before = {one.pid: one.num_fds() for one in (parent, process)}
    runs = [pool.start("quick") for _ in range(20)]
    assert {pool.ended(run, within_s=120)["state"]["type"] for run in runs} == {"COMPLETED"}
    wait_for(lambda: parent.children() == [], 20, "all runs reaped")
    for one in (parent, process):
        # The pool of connections to Prefect may have grown and shrinks again; a leak would be one per run.
        wait_for(lambda one=one: one.num_fds() < before[one.pid] + 20, 40, f"descriptors of {one}: {before[one.pid]}")
    assert parent.num_fds() == before[parent.pid]
    worker.terminate()
