"""The file that is in force changes with what is written, and stays while what is written is faulty."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from datalab.runtime.clock import SystemClock
from services.notifier.config import ConfigError
from services.notifier.in_force import NotifyInForce

FILE = "receivers:\n  - {name: m, channel: email, to: [a@b.c]}\nroutes:\n  - {name: r, receivers: %s}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "notify.yaml"
    path.write_text(FILE % "m")
    return path


def test_a_change_counts_and_a_faulty_one_does_not(path: Path) -> None:
    in_force = NotifyInForce(path, {}, SystemClock())
    targets, since = in_force.targets, in_force.since
    assert not in_force.refresh()
    path.write_text(FILE.replace("m,", "mm,") % "ghost")
    assert not in_force.refresh()
    assert in_force.since == since
    assert list(targets) == ["m"]
    assert "notify.yaml:4: routes.0.receivers: route r names the unknown receiver ghost" in (in_force.note() or "")
    assert REGISTRY.get_sample_value("notifier_config_faulty") == 1
    path.write_text(FILE.replace("m,", "mm,") % "mm")
    assert in_force.refresh()
    assert list(targets) == ["mm"]
    assert in_force.note() is None
    assert REGISTRY.get_sample_value("notifier_config_faulty") == 0


def test_a_file_that_vanishes_leaves_the_last_one_in_force(path: Path) -> None:
    in_force = NotifyInForce(path, {}, SystemClock())
    path.unlink()
    assert not in_force.refresh()
    assert "cannot be read" in (in_force.note() or "")
    assert list(in_force.targets) == ["m"]


def test_a_start_with_a_faulty_file_is_refused(path: Path) -> None:
    path.write_text("routes: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        NotifyInForce(path, {}, SystemClock())
