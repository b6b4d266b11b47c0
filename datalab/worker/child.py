"""What a job's process does after the fork: its own streams, environment and directory; then Prefect's engine.

The engine is run as `python -m prefect.engine` runs it, so that states, logs, retries and hooks are Prefect's own.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import runpy
import shlex
import sys
import threading
import traceback
from typing import Any, NoReturn
from uuid import UUID

from datalab.worker.identity import mark
from datalab.worker.protocol import Job


def become(job: Job, output: int) -> NoReturn:
    """Run the job in this process, which was forked for it, and end the process."""
    _redirect(output)
    if not job.fork:
        _exec(job)
    code = 1
    try:
        _enter(job)
        code = _exit_code(_hooks if job.hooks else _engine, job)
        threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter does at its end: wait for threads,
        atexit._run_exitfuncs()  # and deliver what Prefect still holds back; but not free all memory piece by piece
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _redirect(output: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for descriptor in {nothing, output} - {0, 1, 2}:
        os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        # The last lines must be there when the process is killed.
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text file, here


def _exec(job: Job) -> NoReturn:
    """A new interpreter in place of this process: the way for jobs that cannot use what was imported."""
    environment = {**job.environment, "PYTHONUNBUFFERED": "1"}
    if job.entrypoint:
        environment["PREFECT__FLOW_ENTRYPOINT"] = job.entrypoint
    argv = [sys.executable, "-m", "prefect.engine", job.flow_run_id]
    if job.command:
        argv = shlex.split(job.command)
    if job.hooks:
        argv = [sys.executable, "-m", "datalab.worker.child", job.flow_run_id, job.hooks, job.message or ""]
    try:
        os.chdir(job.directory)
        os.execvpe(argv[0], argv, environment)  # noqa: S606 - the engine, or what the pool's form says
    except OSError as error:
        os.write(2, f"cannot start in {job.directory}: {error}\n".encode())
    os._exit(1)


def _enter(job: Job) -> None:
    if not job.hooks:
        mark(job.flow_run_id)
    os.environ.clear()
    os.environ.update(job.environment)
    if job.entrypoint:
        os.environ["PREFECT__FLOW_ENTRYPOINT"] = job.entrypoint
    os.chdir(job.directory)
    if (numpy := sys.modules.get("numpy")) is not None:
        # Python's own generator is seeded anew by the fork; this one would give every run the same numbers.
        numpy.random.seed()


def _exit_code(run: Any, job: Job) -> int:
    try:
        run(job)
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return leaving.code or 0
        sys.stderr.write(f"{leaving.code}\n")
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def outlast_the_server() -> None:
    """Let every Prefect client of this process wait for a server that is being restarted, within its retries.

    A client does so only once it has reached the server itself, so that a wrong address is told at once. A run was
    handed out by that very server a moment ago; started this quickly, it may meet a restart with its first request.
    """
    from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient

    for client in (PrefectHttpxAsyncClient, PrefectHttpxSyncClient):
        # Prefect has no public way to say so.
        setattr(client, "_has_connected", property(lambda _: True, lambda *_: None))  # noqa: B010 - a property is not of its type


def _engine(job: Job) -> None:
    outlast_the_server()
    sys.argv = ["prefect.engine", job.flow_run_id]
    sys.modules.pop("prefect.engine", None)  # it is about to run as the main program
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


def _hooks(job: Job) -> None:
    asyncio.run(run_hooks(UUID(job.flow_run_id), job.hooks or "", job.message or ""))


async def run_hooks(flow_run_id: UUID, state: str, message: str) -> None:
    """Run the flow's hooks for a run whose own process cannot any more; `state` is "cancelling" or "crashed"."""
    from prefect.client.orchestration import get_client
    from prefect.flows import load_flow_from_flow_run
    from prefect.logging.handlers import APILogHandler
    from prefect.runner._hook_runner import HookRunner
    from prefect.states import Cancelling, Crashed

    async with get_client() as client:
        flow_run = await client.read_flow_run(flow_run_id)
    hooks = HookRunner(resolve_flow=load_flow_from_flow_run)
    if state == "cancelling":
        await hooks.run_cancellation_hooks(flow_run, Cancelling(message=message))
    else:
        await hooks.run_crashed_hooks(flow_run, Crashed(message=message))
    await APILogHandler.aflush()


if __name__ == "__main__":
    asyncio.run(run_hooks(UUID(sys.argv[1]), sys.argv[2], sys.argv[3]))
