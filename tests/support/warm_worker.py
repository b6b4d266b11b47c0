"""A warm worker on a real Prefect server: a pool of its own, flows in a directory of the test's, runs by the API.

`pool` and `start_worker` are fixtures; a test file that imports both has them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.polling import wait_for

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass
class Pool:
    """A work pool and the flows of one directory."""

    api: httpx.Client
    name: str
    folder: Path
    flows: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.api.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def write(self, file: str, code: str) -> Path:
        path = self.folder / file
        path.write_text(textwrap.dedent(code), "utf-8")
        return path

    def deploy(self, name: str, code: str | None = None, **more: Any) -> str:
        """A deployment of the flow `name` in NAME.py; returns its id."""
        if code is not None:
            self.write(f"{name}.py", code)
        flow = self.call("POST", "/flows/", {"name": f"{self.name}-{name}"})["id"]
        step = {"prefect.deployments.steps.set_working_directory": {"directory": str(self.folder)}}
        body = {
            "name": name, "flow_id": flow, "work_pool_name": self.name, "entrypoint": f"{name}.py:{name}",
            "path": str(self.folder), "pull_steps": [step], "enforce_parameter_schema": False,
        }  # fmt: skip
        self.flows[name] = str(self.call("POST", "/deployments/", body | more)["id"])
        return self.flows[name]

    def start(self, name: str, parameters: dict[str, Any] | None = None, **more: Any) -> str:
        """Create a run; returns its id."""
        body = {"parameters": parameters or {}, **more}
        return str(self.call("POST", f"/deployments/{self.flows[name]}/create_flow_run", body)["id"])

    def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/flow_runs/{run_id}")
        return found

    def ended(self, run_id: str, within_s: float = 60.0) -> dict[str, Any]:
        """The run, once it is in a final state."""
        return wait_for(
            lambda: run if (run := self.run(run_id))["state"]["type"] in FINAL else None, within_s, f"run {run_id}"
        )

    def states(self, run_id: str) -> list[str]:
        states = self.call("GET", f"/flow_run_states/?flow_run_id={run_id}")
        return [state["name"] for state in sorted(states, key=lambda state: state["timestamp"])]

    def logs(self, run_id: str) -> list[str]:
        rows = self.call("POST", "/logs/filter", {"logs": {"flow_run_id": {"any_": [run_id]}}, "limit": 200})
        return [row["message"] for row in rows]

    def cancel(self, run_id: str) -> None:
        """What the button of Prefect's page does."""
        self.call("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING"}})

    def told(self, file: str, within_s: float = 60.0) -> str:
        """What a flow wrote into a file of the directory."""
        path = self.folder / file
        wait_for(lambda: path.exists() and path.read_text("utf-8").endswith("\n"), within_s, file)
        return path.read_text("utf-8").strip()


@dataclass
class Worker:
    """A worker's process."""

    process: subprocess.Popen[bytes]
    log: Path

    def says(self, words: str, within_s: float = 60.0) -> None:
        wait_for(lambda: words in self.log.read_text("utf-8"), within_s, f"{words!r} in {self.log.read_text()[-3000:]}")

    def zygotes(self) -> list[psutil.Process]:
        """Its warm parents; those that import nothing have no flows and are counted too."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # it ends while it is looked at
                if "datalab.worker.zygote" in child.cmdline():
                    found.append(child)
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def terminate(self, within_s: float = 60.0) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)


Start = Callable[..., Worker]


@pytest.fixture(scope="module")
def pool(prefect_api_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """An empty pool of the warm type."""
    from datalab.worker.warm_process import WarmProcessWorker

    name = f"warm-{uuid.uuid4().hex[:8]}"
    with httpx.Client(base_url=prefect_api_url, timeout=60, trust_env=False) as api:
        pool = Pool(api, name, tmp_path_factory.mktemp("flows"))
        template = WarmProcessWorker.get_default_base_job_template()
        pool.call("POST", "/work_pools/", {"name": name, "type": WarmProcessWorker.type, "base_job_template": template})
        yield pool


@contextmanager
def running_worker(pool: Pool, folder: Path, name: str, *options: str, environ: dict[str, str]) -> Iterator[Worker]:
    """`prefect worker start`, killed at the end with all that it left."""
    log = folder / f"{name}-{uuid.uuid4().hex[:6]}.log"
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool.name, "--type", "warm-process"]
    environment = {
        **os.environ, "PREFECT_API_URL": str(pool.api.base_url).rstrip("/"), "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_WORKER_QUERY_SECONDS": "5", "PREFECT_LOGGING_COLORS": "false", "PYTHONUNBUFFERED": "1", **environ,
    }  # fmt: skip
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "--name", name, *options], env=environment, stdout=output, stderr=output, cwd=folder
        )
    worker = Worker(process, log)
    try:
        yield worker
    finally:
        zygotes = worker.zygotes() if process.poll() is None else []
        worker.kill()
        for zygote in zygotes:
            # They end by themselves once their worker is gone; what is left is killed.
            with suppress(psutil.NoSuchProcess):
                _kill_each(zygote.children())
            _kill_each([zygote])


def _kill_each(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture(scope="module")
def start_worker(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a worker of the pool; those that still run at the end are killed."""
    from contextlib import ExitStack

    folder = tmp_path_factory.mktemp("worker")
    with ExitStack() as stack:

        def start(name: str = "tester", options: Sequence[str] = (), **environ: str) -> Worker:
            worker = stack.enter_context(running_worker(pool, folder, name, *options, environ=environ))
            worker.says("started!")
            return worker

        yield start
