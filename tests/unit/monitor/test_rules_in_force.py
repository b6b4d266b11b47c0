"""`alerts.yaml` counts as soon as it changes, and a mistake in it changes nothing."""

from __future__ import annotations

from pathlib import Path

from datalab.runtime.clock import SystemClock
from datalab.runtime.settings import PROJECT_ROOT
from services.monitor.rules_in_force import RulesInForce

SHIPPED = (PROJECT_ROOT / "config" / "alerts.yaml").read_text("utf-8")


async def test_a_change_counts_and_a_mistake_does_not(tmp_path: Path) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(SHIPPED, "utf-8")
    rules = RulesInForce(path, SystemClock())
    before, since = rules(), rules.since

    await rules.refresh()
    assert rules() is before

    path.write_text(SHIPPED.replace("severity: critical", "severity: disastrous"), "utf-8")
    await rules.refresh()
    assert rules() is before
    assert "rules[0] (flow-failed).severity" in (rules.fault or "")

    path.write_text(SHIPPED.replace("severity: critical", "severity: warning"), "utf-8")
    await rules.refresh()
    assert rules().rules[0].severity == "warning"
    assert rules.fault is None
    assert rules.since > since


async def test_a_file_that_is_gone_is_a_fault_and_the_rules_stay(tmp_path: Path) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(SHIPPED, "utf-8")
    rules = RulesInForce(path, SystemClock())
    path.unlink()
    await rules.refresh()
    assert rules().rules
    assert "No such file" in (rules.fault or "")
