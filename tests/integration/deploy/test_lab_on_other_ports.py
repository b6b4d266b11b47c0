"""A lab with two workers on ports of its own, as when it runs beside another: where its workers write, and that the
guide's commands find it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from datalab.local.state import LabState
from datalab.runtime.settings import PROJECT_ROOT
from tests.support.lab_parts import fresh_database, lab_parts
from tests.support.polling import eventually

WORKERS = ("etl-worker", "mlops-worker")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that DATALAB_WORKER_LOG names."""
    return tmp_path_factory.mktemp("log") / "prefect-worker.log"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, database_server: str, log: Path) -> Iterator[LabState]:
    environ = {"DATALAB_WORKER_LOG": str(log), "DATABASE_URL": fresh_database(database_server, migrated=False)}
    with lab_parts(tmp_path_factory.mktemp("other") / "lab", WORKERS, environ) as state:
        yield state


def test_both_workers_write_to_the_named_file(lab: LabState, log: Path) -> None:
    async def started() -> set[str]:
        lines = await asyncio.to_thread(log.read_text)
        return set(re.findall(r"Worker '([\w-]+)' started!", lines))

    asyncio.run(eventually(started, until=lambda names: names == set(WORKERS)))
    # What `datalab status` shows is where it always is, and leads there.
    assert [Path(lab.parts[worker].log).resolve() for worker in WORKERS] == [log.resolve()] * 2
    assert Path(lab.parts["etl-worker"].log).is_symlink()


def test_the_commands_find_the_lab_by_its_home(lab: LabState) -> None:
    environ = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"} | {"DATALAB_HOME": lab.home}
    for command in (
        [str(PROJECT_ROOT / "scripts/init_prefect_flows.sh")],
        [sys.executable, "flows/manage_deployments.py", "workers", "--json"],
    ):
        answer = subprocess.run(
            command, cwd=PROJECT_ROOT, env=environ, capture_output=True, text=True, timeout=250, check=False
        )
        assert answer.returncode == 0, answer.stderr
    workers = {worker["name"]: worker["pool"] for worker in json.loads(answer.stdout)}
    assert workers == {"etl-worker": "etl-pool", "mlops-worker": "mlops-pool"}
