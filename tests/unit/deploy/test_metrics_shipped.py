"""The shipped dashboard and rules ask for metrics and labels that the code has, as read from its source."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from datalab.runtime.settings import PROJECT_ROOT

_HISTOGRAM = ("_bucket", "_sum", "_count")
KINDS = {"Counter": ("_total",), "Gauge": ("",), "Histogram": _HISTOGRAM, "Tally": _HISTOGRAM}
NAME = re.compile(r"\b(?:datalab|bridge|notifier)_[a-z_]+\b")
LABELS = re.compile(r"\b([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"|by \(([^)]*)\)")
ALWAYS = {"job", "le"}


@cache
def metrics() -> dict[str, set[str]]:
    """The labels of each series that the code can make."""
    found: dict[str, set[str]] = {}
    for path in [*(PROJECT_ROOT / "services").rglob("*.py"), *(PROJECT_ROOT / "datalab").rglob("*.py")]:
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            kind = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
            if kind in KINDS and isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.Constant):
                labels = set(ast.literal_eval(call.args[2])) if len(call.args) > 2 else set()
                found |= {f"{call.args[0].value}{ending}": labels for ending in KINDS[kind]}
    return found


def dashboard() -> dict[str, Any]:
    shipped: dict[str, Any] = json.loads((PROJECT_ROOT / "deploy/grafana/dataflow-lab.json").read_text("utf-8"))
    return shipped


def rules() -> list[dict[str, Any]]:
    shipped = yaml.safe_load((PROJECT_ROOT / "deploy/prometheus/rules.yaml").read_text("utf-8"))
    return [rule for group in shipped["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    for panel in dashboard()["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])
    yield from ((rule.get("alert") or rule["record"], rule["expr"]) for rule in rules())


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_metrics_and_labels_are_those_of_the_code(title: str, expression: str) -> None:
    known = metrics()
    asked = set(NAME.findall(expression))
    assert asked <= known.keys(), f"{title}: no such metric"
    labels = {
        label.strip() for pair in LABELS.findall(expression) for label in ",".join(pair).split(",") if label.strip()
    }
    assert labels - ALWAYS <= {label for name in asked for label in known[name]}, f"{title}: no such label"


def test_a_metric_that_is_gone_would_be_noticed() -> None:
    assert "datalab_monitor_events_total" in metrics()
    assert "datalab_monitor_events" not in metrics()
    assert metrics()["datalab_monitor_run_duration_seconds_count"] == {"deployment", "state"}


def test_every_alert_says_what_to_do() -> None:
    page = (PROJECT_ROOT / "docs/operations/prometheus.md").read_text("utf-8")
    headings = {line.removeprefix("## ").lower() for line in page.splitlines() if line.startswith("## ")}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        assert set(re.findall(r"datalab:[a-z_]+:[0-9a-z]+", rule["expr"])) <= recorded
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"critical", "warning", "none"}
            assert {"summary", "description"} <= rule["annotations"].keys()
            path, _, anchor = rule["annotations"]["runbook"].partition("#")
            assert (PROJECT_ROOT / path).is_file()
            assert anchor in headings, rule["alert"]


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
