"""Flows as plain function calls in tests: the environment of a run, and retries that do not take minutes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

import pytest
from prefect import Task
from prefect.settings import PREFECT_API_URL, temporary_settings

# What the shell or another lab may say about where things are.
_PLACES = ("LAKE_ROOT", "LANDING_DIR", "DATABASE_URL", "SPARK_REMOTE", "SPARK_MASTER_URL", "DATALAB_CONFIG_DIR")


@contextmanager
def flow_environment(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, prefect_api_url: str, environ: Mapping[str, str]
) -> Iterator[None]:
    """The runs of `module`'s flow see only this environment and this Prefect server; its tasks retry at once, twice."""
    for name in _PLACES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_API_URL", prefect_api_url)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    for step in vars(module).values():
        if isinstance(step, Task):
            monkeypatch.setattr(step, "retries", 2)
            monkeypatch.setattr(step, "retry_delay_seconds", 0.2)
    with temporary_settings({PREFECT_API_URL: prefect_api_url}):
        yield
