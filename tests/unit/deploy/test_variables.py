"""`.env.example` and the compose file name the same variables, and what is required has no default anywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import prefect.settings
import pytest

from flows.config import FlowSettings

_LINE = re.compile(r"^(?P<comment>#?)(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)$", re.M)


_OUTSIDE = "# --- outside containers"
# The guide's, under "Variáveis de Ambiente".
GUIDE = {
    "PREFECT_API_URL",
    "PREFECT_SERVER_API_HOST",
    "PREFECT_HOME",
    "SPARK_MASTER_URL",
    "MINIO_ENDPOINT",
    "KAFKA_BOOTSTRAP_SERVERS",
    "MLFLOW_TRACKING_URI",
}


def lines(root: Path, *, outside: bool = False) -> list[tuple[bool, str, str]]:
    """Every variable of the example: whether it is only shown, its name, its value. Those of Compose, or those that
    are read outside containers."""
    of_compose, _, of_processes = (root / ".env.example").read_text("utf-8").partition(_OUTSIDE)
    found = _LINE.finditer(of_processes if outside else of_compose)
    return [(bool(m["comment"]), m["name"], m["value"]) for m in found]


def test_the_example_demands_exactly_what_compose_demands(compose: Any, root: Path) -> None:
    given = {name: value for shown, name, value in lines(root) if not shown}
    assert set(given) == compose.required
    assert not any(given.values()), "a required variable must not come with a value"


def test_the_example_names_every_variable_and_nothing_unknown(compose: Any, root: Path) -> None:
    known = compose.required | set(compose.defaults) | compose.passed_through
    assert {name for _, name, _ in lines(root)} == known | {"COMPOSE_PROFILES"}


def test_a_required_variable_has_no_default_and_none_is_bare(compose: Any) -> None:
    assert compose.required
    assert not compose.required & set(compose.defaults)
    assert compose.bare == set(), "without a value it would silently be empty"


def test_the_example_shows_the_defaults_that_hold(compose: Any, root: Path) -> None:
    shown: dict[str, str] = {}
    for _, name, value in lines(root):
        shown.setdefault(name, value)
    assert {name: shown[name] for name in compose.defaults} == compose.defaults


def test_the_profile_that_the_example_names_exists(compose: Any, root: Path) -> None:
    profiles = {p for s in compose.services.values() for p in s.get("profiles", [])}
    assert {value for _, name, value in lines(root) if name == "COMPOSE_PROFILES"} == profiles == {"inbox", "creators"}


def test_every_secret_is_a_file_in_the_folder_that_must_be_named(compose: Any, root: Path) -> None:
    written = set(re.findall(r"^put (\w+) ", (root / "deploy/bin/make-secrets").read_text("utf-8"), re.M))
    secrets = compose.model["secrets"]
    assert set(secrets) == written
    for name, secret in secrets.items():
        assert re.fullmatch(rf"\$\{{DATALAB_SECRETS_DIR:\?[^}}]+\}}/{name}", secret["file"]), name


def test_the_guides_variables_are_in_the_example_and_only_shown(root: Path) -> None:
    shown = {name: only_shown for only_shown, name, _ in lines(root, outside=True)}
    assert set(shown) >= GUIDE
    assert all(shown.values()), "a value there would turn the local lab's processes to another place"


def test_every_variable_that_is_read_outside_containers_is_read(root: Path) -> None:
    read = {str(f.validation_alias or name).upper() for name, f in FlowSettings.model_fields.items()}
    for _, name, _ in lines(root, outside=True):
        assert name in read or hasattr(prefect.settings, name), name


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "KAFKA_BOOTSTRAP_SERVERS", "MLFLOW_TRACKING_URI"])
def test_the_example_shows_the_addresses_that_hold_on_one_machine(root: Path, name: str) -> None:
    [shown] = [value for _, found, value in lines(root, outside=True) if found == name]
    assert FlowSettings.model_fields[name.lower()].default == shown
