"""docker-compose.yml as the tests read it: parsed, merged, with variables replaced by their defaults. No engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
_VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>[A-Z_][A-Z0-9_]*)(?P<operator>:[-?])?(?P<rest>[^}]*)\}")


@dataclass(frozen=True)
class Compose:
    """The file's text and what it says."""

    text: str

    @property
    def model(self) -> dict[str, Any]:
        loaded: dict[str, Any] = yaml.safe_load(self.text)
        return loaded

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        """Each service with `${NAME:-default}` replaced by the default, and `${NAME:?…}` by NAME."""
        replaced = _VARIABLE.sub(lambda m: m["rest"] if m["operator"] == ":-" else m["name"], self.text)
        loaded: dict[str, dict[str, Any]] = yaml.safe_load(replaced)["services"]
        return loaded

    @property
    def required(self) -> set[str]:
        """Variables without which Compose refuses to start."""
        return {m["name"] for m in _VARIABLE.finditer(self.text) if m["operator"] == ":?"}

    @property
    def defaults(self) -> dict[str, str]:
        return {m["name"]: m["rest"] for m in _VARIABLE.finditer(self.text) if m["operator"] == ":-"}

    @property
    def bare(self) -> set[str]:
        """Variables with neither a default nor a demand."""
        return {m["name"] for m in _VARIABLE.finditer(self.text) if not m["operator"]}

    @property
    def passed_through(self) -> set[str]:
        """Variables that containers get under the same name, if they are set."""
        return {
            name for s in self.services.values() for name, value in s.get("environment", {}).items() if value is None
        }


@pytest.fixture(scope="session")
def compose() -> Compose:
    """The project's compose file."""
    return Compose((ROOT / "docker-compose.yml").read_text("utf-8"))


@pytest.fixture(scope="session")
def services(compose: Compose) -> dict[str, dict[str, Any]]:
    """Its services, with defaults in place of variables."""
    return compose.services


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT
