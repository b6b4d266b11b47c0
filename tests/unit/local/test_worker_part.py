"""Which kind of worker the lab starts, and what its runs find imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from datalab.local.parts.prefect import POOLS, PrefectWorker


def command(pool: str = "etl-pool", **environ: str) -> Any:
    lab: Any = SimpleNamespace(env=environ, layout=SimpleNamespace(log=Path))
    return PrefectWorker("etl-worker", pool).command(lab)


def option(argv: list[str], name: str) -> str:
    return argv[argv.index(name) + 1]


def test_the_worker_is_warm_unless_told_otherwise() -> None:
    assert option(command().argv, "--type") == "warm-process"
    assert option(command(DATALAB_WORKER_TYPE="").argv, "--type") == "warm-process"
    assert option(command(DATALAB_WORKER_TYPE="process").argv, "--type") == "process"


@pytest.mark.parametrize("pool", POOLS)
def test_what_is_imported_ahead_exists(pool: str) -> None:
    names = command(pool).env["DATALAB_WORKER_PRELOAD"].split(",")
    assert [name for name in names if importlib.util.find_spec(name) is None] == []
