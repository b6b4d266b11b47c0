"""The warm parent by itself, without Prefect's server: what it holds, what it refuses, what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from pathlib import Path
from typing import Any

import psutil
import pytest

from datalab.worker.output import RunOutput
from datalab.worker.protocol import Ended, Job, Warmth
from datalab.worker.warm_parent import ColdError, StartError, WarmParent

FLOW = "from prefect import flow\n\n@flow\ndef one():\n    pass\n"
HEAVY = ("pyspark.sql.connect.session", "pandas", "pyarrow", "sklearn.ensemble", "mlflow")


async def parent_of(folder: Path, *modules: str, entrypoints: tuple[str, ...] = ()) -> WarmParent:
    # No API: whatever tried to reach one would fail, and an import must not.
    environment = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_HOME": str(folder / "home")}
    return await WarmParent.start(str(folder), environment, Warmth(modules, entrypoints), within_s=120)


def job(folder: Path, **fields: object) -> Job:
    key = uuid.uuid4().hex
    ids = {"key": key, "flow_run_id": str(uuid.uuid4())}
    usual = {"environment": dict(os.environ), "directory": str(folder), "fork": True, "entrypoint": "one.py:one"}
    given: dict[str, Any] = {**ids, **usual, **fields}
    return Job(**given)


def sockets_of(pid: int) -> list[str]:
    targets = (str(descriptor.readlink()) for descriptor in Path(f"/proc/{pid}/fd").iterdir())
    return [target for target in targets if target.startswith("socket:")]


async def test_it_has_one_thread_and_no_connection_after_importing_all_that_flows_use(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(FLOW)
    parent = await parent_of(tmp_path, *HEAVY, entrypoints=("one.py:one",))
    process = psutil.Process(parent.pid)
    assert parent.troubles == {}
    assert process.net_connections(kind="inet") == []
    assert len(sockets_of(parent.pid)) == 1  # to the worker
    # It counts its threads before each fork, and refuses with more than one: a job that starts is the proof.
    output = RunOutput()
    started = await parent.launch(job(tmp_path), output.descriptor)
    assert (await started.ended) is not None
    output.close()
    parent.leave()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n", "thread"),
        ("import socket\nKEPT = socket.socket()\n", "opened 1 socket"),
        ("import os\nos._exit(7)\n", "exit code 7"),
    ],
)
async def test_what_makes_forking_unsafe_is_named(tmp_path: Path, code: str, why: str) -> None:
    (tmp_path / "unsafe_module.py").write_text(code)
    with pytest.raises(ColdError, match=why) as caught:
        await parent_of(tmp_path, "unsafe_module")
    assert caught.value.blame == "unsafe_module"


async def test_what_cannot_be_imported_is_a_trouble_not_an_end(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def bad(:\n")
    parent = await parent_of(tmp_path, "no_such_module", entrypoints=("bad.py:bad",))
    assert "ModuleNotFoundError" in parent.troubles["no_such_module"]
    assert "SyntaxError" in parent.troubles["bad.py:bad"] or "ScriptError" in parent.troubles["bad.py:bad"]
    (tmp_path / "bad.py").write_text("def bad():\n")
    assert parent.stale() == str(tmp_path / "bad.py")
    parent.leave()


async def test_after_five_hundred_jobs_it_is_as_large_as_after_one(tmp_path: Path) -> None:
    """The jobs fail early, for want of a server; what counts here is the parent."""
    (tmp_path / "one.py").write_text(FLOW)
    parent = await parent_of(tmp_path, entrypoints=("one.py:one",))
    process, output = psutil.Process(parent.pid), RunOutput()

    async def once() -> Ended | None:
        # The directory does not exist: the child ends as soon as it has become one.
        started = await parent.launch(job(tmp_path / "none"), output.descriptor)
        return await started.ended

    for _ in range(20):
        await once()
    memory, descriptors = process.memory_full_info().uss, process.num_fds()
    ended = [await once() for _ in range(500)]
    assert all(end is not None and end.exit_code == 1 for end in ended)
    assert process.memory_full_info().uss <= memory * 1.05
    assert process.num_fds() == descriptors
    assert process.children() == []
    output.close()
    parent.leave()


async def test_jobs_that_come_after_the_worker_left_are_not_started(tmp_path: Path) -> None:
    parent = await parent_of(tmp_path)
    parent.leave()
    output = RunOutput()
    with pytest.raises(StartError):
        await parent.launch(job(tmp_path), output.descriptor)
    output.close()


async def test_a_new_interpreter_gets_environment_directory_and_output(tmp_path: Path) -> None:
    """The way of runs that cannot be forked; here with an interpreter that only tells what it was given."""
    parent = await parent_of(tmp_path)
    output = RunOutput()
    path = os.pathsep.join([str(tmp_path), *sys.path])
    (tmp_path / "sitecustomize.py").write_text("import os\nprint(os.getcwd(), os.environ['OWN'], flush=True)\n")
    cold = job(tmp_path, fork=False, environment={**os.environ, "OWN": "mine", "PYTHONPATH": path})
    started = await parent.launch(cold, output.descriptor)
    ended = await asyncio.wait_for(started.ended, 60)
    assert ended is not None
    assert ended.exit_code not in {0, None}  # there is no server
    assert f"{tmp_path} mine" in output.new_lines(at_end=True)
    output.close()
    parent.leave()
