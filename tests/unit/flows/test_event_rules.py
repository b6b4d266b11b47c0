"""The rules that start the ETL and the audit: which events they take, and that the flows take their parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from flows.config import DEPLOYMENTS
from flows.medallion_etl_flow import medallion_etl_pipeline
from flows.quarantine_audit_flow import quarantine_audit
from schemas.envelope import Event
from services.bridge.decisions import decide_all
from services.bridge.rule_files import load_rules

ARRIVED = {
    "uri": "file:///landing/eventos/a%20b.json",
    "path": "/landing/eventos/a b.json",
    "name": "a b.json",
    "dataset": "eventos",
    "format": "json",
    "size_bytes": 3,
    "sha256": "a" * 64,
    "modified_at": "2024-01-01T00:00:00Z",
}


def started(type_: str, data: dict[str, Any], source: str = "/test") -> dict[str, dict[str, Any]]:
    """Parameters by deployment of the runs that the shipped rules start."""
    event = Event.model_validate(
        {"id": "e", "source": source, "type": type_, "time": "2024-01-01T00:00:00Z", "data": data}
    )
    decisions = decide_all(load_rules(PROJECT_ROOT / "config" / "rules"), event)
    return {d.rule.spec.run.deployment: d.parameters for d in decisions if d.outcome == "matched"}


@pytest.mark.parametrize("format_", ["json", "jsonl"])
def test_a_file_of_events_starts_the_etl_with_a_threshold_that_it_can_reach(format_: str) -> None:
    runs = started("lab.file.arrived.v1", {**ARRIVED, "format": format_})
    assert runs == {
        "medallion-etl/medallion-etl-daily": {"source_path": ARRIVED["uri"], "min_rows_threshold": 1},
    }
    medallion_etl_pipeline.validate_parameters(next(iter(runs.values())))


def test_a_file_of_stocks_keeps_the_threshold_of_the_deployment() -> None:
    assert started("lab.file.arrived.v1", {**ARRIVED, "dataset": "stocks"}) == {
        "medallion-etl/medallion-etl-daily": {"source_path": ARRIVED["uri"]},
    }
    assert started("lab.file.arrived.v1", {**ARRIVED, "dataset": "others"}) == {}


def test_a_failed_quality_check_starts_the_audit_of_that_file() -> None:
    example = PROJECT_ROOT / "schemas" / "examples" / "lab.quality.failed.v1" / "quarantined.json"
    data = json.loads(example.read_text())["data"]
    runs = started("lab.quality.failed.v1", data)
    assert runs["quarantine-audit/quarantine-audit"] == {"dataset": "stocks", "source_uri": data["source_uri"]}
    quarantine_audit.validate_parameters(runs["quarantine-audit/quarantine-audit"])
    assert "quarantine-audit/quarantine-audit" not in started("lab.quality.passed.v1", data)
    assert "quarantine-audit/quarantine-audit" not in started("lab.quality.failed.v1", data, "/flows/maintenance")
    assert "quarantine-audit/quarantine-audit" in {deployment.full_name for deployment in DEPLOYMENTS}
