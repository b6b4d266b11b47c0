"""Runs behave as with Prefect's own process worker: states, logs, parameters, hooks, retries; each for itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.polling import wait_for
from tests.support.warm_worker import Pool, Start, Worker

HELLO = """
    import json, os, random, sys
    from prefect import flow, task
    from prefect.runtime import flow_run

    SEEN = []

    @task
    def double(n):
        return 2 * n

    @flow(log_prints=True)
    def hello(n=1, to="hello.json"):
        SEEN.append(n)
        print(f"doubling {n}")
        sys.stdout.flush()
        facts = {
            "double": double(n), "seen": SEEN, "cwd": os.getcwd(), "pid": os.getpid(), "sid": os.getsid(0),
            "tags": flow_run.tags, "random": random.random(), "own": os.environ.get("OWN"),
        }
        os.write(1, b"straight to the terminal\\n")
        with open(to, "w") as file:
            print(json.dumps(facts), file=file)
        return n
"""
HOOKED = """
    import os
    from pathlib import Path
    from prefect import flow

    def note(flow, run, state):
        with open("hooks.txt", "a") as file:
            file.write(f"{state.name}\\n")

    @flow(retries=1, on_completion=[note])
    def hooked():
        if not Path("failed-once").exists():
            Path("failed-once").touch()
            raise ValueError("the first time")
"""


@pytest.fixture(scope="module")
def worker(pool: Pool, start_worker: Start) -> Worker:
    pool.deploy("hello", HELLO)
    pool.deploy("hooked", HOOKED)
    worker = start_worker()
    worker.says("2 flows imported")
    return worker


def test_a_run_completes_as_with_the_stock_worker(pool: Pool, worker: Worker) -> None:
    run_id = pool.start("hello", {"n": 21}, tags=["datalab.event=e1"])
    run = pool.ended(run_id)
    facts = json.loads(pool.told("hello.json"))
    assert run["state"]["type"] == "COMPLETED"
    # Late is what the server says of a run that no worker had time for at once.
    states = [state for state in pool.states(run_id) if state != "Late"]
    assert states == ["Scheduled", "Pending", "Running", "Completed"]
    assert facts["double"] == 42
    assert facts["tags"] == ["datalab.event=e1"]
    assert Path(facts["cwd"]) == pool.folder
    assert facts["sid"] == facts["pid"]
    assert run["infrastructure_pid"].endswith(f":{facts['pid']}")
    assert run["labels"]["prefect.worker.name"] == "tester"
    wait_for(lambda: "doubling 21" in pool.logs(run_id), what="the log in Prefect")
    worker.says(f"[{run['name']}] straight to the terminal")


def test_runs_share_nothing(pool: Pool, worker: Worker) -> None:
    facts = []
    for number in (1, 2):
        pool.ended(pool.start("hello", {"n": number, "to": f"apart-{number}.json"}))
        facts.append(json.loads(pool.told(f"apart-{number}.json")))
    assert [fact["seen"] for fact in facts] == [[1], [2]]
    assert facts[0]["random"] != facts[1]["random"]
    assert facts[0]["pid"] != facts[1]["pid"]
    assert "OWN" not in os.environ


def test_a_deployments_own_environment_is_honoured(pool: Pool, worker: Worker) -> None:
    """Not by a fork, which would have imported its modules under another environment."""
    own = pool.deploy("hello", HELLO, job_variables={"env": {"OWN": "mine"}})
    try:
        run_id = pool.start("hello", {"to": "own.json"})
        assert pool.ended(run_id)["state"]["type"] == "COMPLETED"
        assert json.loads(pool.told("own.json"))["own"] == "mine"
        worker.says("starts in a new interpreter: it has an environment of its own: OWN")
    finally:
        pool.call("PATCH", f"/deployments/{own}", {"job_variables": {}})


def test_retries_and_hooks(pool: Pool, worker: Worker) -> None:
    run_id = pool.start("hooked")
    assert pool.ended(run_id)["state"]["type"] == "COMPLETED"
    assert pool.told("hooks.txt") == "Completed"
    assert "AwaitingRetry" in pool.states(run_id) or "Retrying" in pool.states(run_id)


def test_a_failed_run_is_failed_not_crashed(pool: Pool, worker: Worker) -> None:
    pool.deploy(
        "failing",
        """
        from prefect import flow

        @flow
        def failing():
            raise ValueError("no such column")
        """,
    )
    state = pool.ended(pool.start("failing"))["state"]
    assert state["type"] == "FAILED"
    assert "no such column" in state["message"]


def test_an_asynchronous_flow_with_a_subflow(pool: Pool, worker: Worker) -> None:
    pool.deploy(
        "outer",
        """
        import asyncio
        from prefect import flow

        @flow
        async def inner(n):
            await asyncio.sleep(0)
            return n + 1

        @flow
        async def outer():
            assert await inner(1) == 2
        """,
    )
    assert pool.ended(pool.start("outer"))["state"]["type"] == "COMPLETED"


def test_a_change_in_an_imported_module_counts_from_the_next_run_on(pool: Pool, worker: Worker) -> None:
    pool.write("colour.py", "COLOUR = 'red'\n")
    pool.deploy(
        "painter",
        """
        from colour import COLOUR
        from prefect import flow

        @flow
        def painter(to):
            with open(to, "w") as file:
                print(COLOUR, file=file)
        """,
    )
    pool.ended(pool.start("painter", {"to": "first.txt"}))
    assert pool.told("first.txt") == "red"
    pool.write("colour.py", "COLOUR = 'green'\n")
    pool.ended(pool.start("painter", {"to": "second.txt"}))
    assert pool.told("second.txt") == "green"
    worker.says("colour.py has changed")


def test_a_syntax_error_fails_its_own_runs_only(pool: Pool, worker: Worker) -> None:
    pool.deploy("broken", "def broken(:\n    pass\n")
    broken = pool.ended(pool.start("broken"))["state"]
    assert broken["type"] == "CRASHED"
    assert "SyntaxError" in broken["message"]
    worker.says("could not be imported ahead: broken.py:broken")
    assert pool.ended(pool.start("hello", {"to": "beside.json"}))["state"]["type"] == "COMPLETED"
    pool.write("broken.py", "from prefect import flow\n\n@flow\ndef broken():\n    pass\n")
    assert pool.ended(pool.start("broken"))["state"]["type"] == "COMPLETED"


def test_a_module_that_makes_forking_unsafe_is_not_imported_ahead(pool: Pool, worker: Worker) -> None:
    pool.deploy(
        "threaded",
        """
        import threading, time
        from prefect import flow

        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()

        @flow
        def threaded():
            pass
        """,
    )
    assert pool.ended(pool.start("threaded"))["state"]["type"] == "COMPLETED"
    worker.says("will not be imported ahead: threaded.py:threaded: importing it started the thread")


def test_the_pool_says_how_many_run_at_once(pool: Pool, worker: Worker) -> None:
    pool.deploy(
        "one_at_a_time",
        """
        import os, time
        from prefect import flow

        @flow
        def one_at_a_time(n):
            os.mkdir("alone")
            time.sleep(0.5)
            os.rmdir("alone")
        """,
    )
    pool.call("PATCH", f"/work_pools/{pool.name}", {"concurrency_limit": 1})
    try:
        runs = [pool.start("one_at_a_time", {"n": number}) for number in range(3)]
        assert [pool.ended(run)["state"]["type"] for run in runs] == ["COMPLETED"] * 3
    finally:
        pool.call("PATCH", f"/work_pools/{pool.name}", {"concurrency_limit": None})
