"""The demonstration, as its user runs it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Lab
from tests.e2e.runs import wait_for

PARTS = {"kafka", "postgres", "prefect", "spark", "mlflow", "etl-worker", "mlops-worker",
         "ingest", "bridge", "monitor", "notifier", "dashboard", "inbox"}  # fmt: skip


@pytest.fixture(scope="module")
def proof(lab: Lab) -> dict[str, Any]:
    """What one demonstration printed."""
    printed: dict[str, Any] = json.loads(lab.must("demo", "--json", timeout=500))
    return printed


ALERTED = {
    "lab.alert.firing.v1",
    "alert received by email",
    "alert received by slack",
    "alert received by teams",
    "alert received by webhook",
}


def test_the_tour_is_proved_hop_by_hop(proof: dict[str, Any]) -> None:
    good, broken, jump = ({hop["name"] for hop in story["hops"]} for story in proof["stories"])
    assert proof["proved"] is True
    assert {"lab.file.arrived.v1", "gold updated", "lab.run.completed.v1", "champion"} <= good
    assert {"lab.quality.failed.v1", *ALERTED} <= broken
    assert {"gold updated", "lab.score.unusual.v1", "scored", *ALERTED} <= jump


def test_a_quality_failure_starts_one_audit_of_the_quarantine(proof: dict[str, Any]) -> None:
    runs = [hop for hop in proof["stories"][1]["hops"] if hop["name"] == "run created"]
    assert [hop["detail"].split()[0] for hop in runs] == [
        "medallion-etl/medallion-etl-daily",
        "quarantine-audit/quarantine-audit",
    ]


def well(parts: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]] | None:
    return parts if all(part["healthy"] for name, part in parts.items() if name in PARTS) else None


def test_status_shows_every_part_with_port_pid_memory_and_health(lab: Lab) -> None:
    # One that was too busy to answer the last look is well at the next.
    parts = wait_for(lambda: well(lab.status()), "health of all parts")
    assert set(parts) >= PARTS
    for name in PARTS:
        part = parts[name]
        assert part["pid"], name
        assert part["memory_mib"] > 1, name
        assert part["healthy"] is True, (name, part)
    listening = PARTS - {"postgres", "etl-worker", "mlops-worker"}
    assert all(parts[name]["port"] for name in listening)


def test_a_trace_leads_from_the_file_to_the_deliveries(lab: Lab, proof: dict[str, Any]) -> None:
    broken = proof["stories"][1]
    event_id = next(hop["id"] for hop in broken["hops"] if hop["name"] == "lab.file.arrived.v1")
    run_id = next(hop["id"] for hop in broken["hops"] if hop["name"] == "run created")
    trace = lab.must("events", "trace", event_id, "--json")
    for expected in (run_id, "lab.quality.failed.v1", "lab.alert.firing.v1", "email", "slack", "teams", "delivered"):
        assert expected in trace, expected
