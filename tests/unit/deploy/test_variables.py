"""`.env.example` and the compose file name the same variables, and what is required has no default anywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_LINE = re.compile(r"^(?P<comment>#?)(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)$", re.M)


def lines(root: Path) -> list[tuple[bool, str, str]]:
    """Every variable of the example: whether it is only shown, its name, its value."""
    return [
        (bool(m["comment"]), m["name"], m["value"]) for m in _LINE.finditer((root / ".env.example").read_text("utf-8"))
    ]


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
    assert {value for _, name, value in lines(root) if name == "COMPOSE_PROFILES"} == profiles == {"inbox"}


def test_every_secret_is_a_file_in_the_folder_that_must_be_named(compose: Any, root: Path) -> None:
    written = set(re.findall(r"^put (\w+) ", (root / "deploy/bin/make-secrets").read_text("utf-8"), re.M))
    secrets = compose.model["secrets"]
    assert set(secrets) == written
    for name, secret in secrets.items():
        assert re.fullmatch(rf"\$\{{DATALAB_SECRETS_DIR:\?[^}}]+\}}/{name}", secret["file"]), name
