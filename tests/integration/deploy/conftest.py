"""A Prefect server for the tests of this folder alone: they change what is deployed on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from datalab.local.databases import sibling
from datalab.runtime.settings import PROJECT_ROOT
from tests.support.lab_parts import fresh_database, prefect_server

Answer = subprocess.CompletedProcess[str]


class Prefect:
    """The server, as the guide's commands and its REST API reach it."""

    def __init__(self, api: str, database: str) -> None:
        self.api, self.database = api, database

    def run(self, *words: str, cwd: Path = PROJECT_ROOT, **environ: str) -> Answer:
        """A command with this server's address, run to its end; `python` is the tests' own."""
        command = [sys.executable if word == "python" else word for word in words]
        env = {**os.environ, "PREFECT_API_URL": self.api, "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false", **environ}
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=250, check=False)

    def manage(self, *words: str, cwd: Path = PROJECT_ROOT) -> list[dict[str, Any]]:
        """The JSON that `python flows/manage_deployments.py WORDS` answers."""
        answer = self.run("python", "flows/manage_deployments.py", *words, "--json", cwd=cwd)
        assert answer.returncode == 0, answer.stderr
        return list(json.loads(answer.stdout))

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON that the API answers; None for an empty answer."""
        with httpx.Client(trust_env=False, timeout=20) as client:
            answer = client.request(method, f"{self.api}{path}", json=body).raise_for_status()
        return answer.json() if answer.content else None

    def deployment(self, full_name: str) -> dict[str, Any]:
        """The deployment as the server keeps it."""
        return dict(self.request("GET", f"/deployments/name/{full_name}"))


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory, database_server: str) -> Iterator[Prefect]:
    """A server on a database of its own, with nothing deployed on it yet."""
    database = fresh_database(database_server, migrated=False)
    with prefect_server(tmp_path_factory.mktemp("prefect"), database) as api:
        yield Prefect(api, sibling(database, "prefect"))


@pytest.fixture
def deployed(prefect: Prefect) -> Callable[[str], dict[str, Any]]:
    """All deployments as declared; gives one as the server keeps it."""
    prefect.manage("deploy")
    return prefect.deployment
