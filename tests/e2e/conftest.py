"""One whole lab for all stories: every part real, in a state directory and on ports of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from datalab.local.addresses import LabAddresses, lab_addresses
from datalab.local.layout import LabLayout
from datalab.local.marked import find_marked

_INHERITED = ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "PREFECT_API_URL", "LAKE_ROOT", "LANDING_DIR")


@dataclass(frozen=True)
class Lab:
    """A lab, handled as its user would: by the command line."""

    home: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """`datalab …` in this lab."""
        command = [sys.executable, "-m", "datalab.cli.main", *arguments]
        return subprocess.run(
            command, env=dict(self.environment), capture_output=True, text=True, timeout=timeout, check=False
        )

    def must(self, *arguments: str, timeout: float = 300) -> str:
        """The same; it has to succeed. Returns what it printed."""
        done = self.run(*arguments, timeout=timeout)
        assert done.returncode == 0, f"datalab {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def status(self) -> dict[str, dict[str, Any]]:
        """`datalab status --json`, by part."""
        return {part["name"]: part for part in json.loads(self.run("status", "--json").stdout)["parts"]}

    @property
    def addresses(self) -> LabAddresses:
        return lab_addresses(self.environment)

    def processes(self) -> list[str]:
        """The command lines of everything that this lab left running."""
        return [f"{found.part}: {found.process}" for found in find_marked(LabLayout.at(self.home).lab_id)]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running lab; after the last story it is stopped and must leave nothing behind."""
    home = tmp_path_factory.mktemp("e2e") / "lab"
    inherited = {name: value for name, value in os.environ.items() if name not in _INHERITED}
    lab = Lab(home, {**inherited, "DATALAB_HOME": str(home)})
    lab.must("up", "--detach")
    try:
        yield lab
    finally:
        lab.must("down")
        assert lab.processes() == []
