"""The guide's table of alerts: each row's real condition, its message in the inbox while it lasts, and its end.

The row about data quality is told by the demonstration (`test_demo.py`), which drops a file with broken rows.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from datalab.local.demo.samples import drop, real_prices
from tests.e2e.conftest import Lab
from tests.e2e.runs import ended, get, messages, trigger, user_topic, wait_for

CHANNELS = ("email", "slack", "teams", "webhook")
ETL = "medallion-etl/medallion-etl-daily"
KAFKA_PIPELINE = "kafka-pipeline/kafka-pipeline"


def alert(lab: Lab, rule: str, status: str, **labels: str) -> dict[str, Any]:
    """The alert of a rule with these labels, once it has this status."""

    def look() -> dict[str, Any] | None:
        found = get(f"{lab.addresses.monitor}/v1/alerts", rule=rule, status=status)["alerts"]
        fitting = (a for a in found if labels.items() <= a["labels"].items())
        return next(fitting, None)

    return wait_for(look, f"{rule} {status} for {labels}")


def told(lab: Lab, mentions: str, status: str) -> None:
    """Every channel has a message about it with this status."""
    for channel in CHANNELS:
        wait_for(
            lambda channel=channel: [m for m in messages(lab, channel, mentions) if status in json.dumps(m).lower()],
            f"a {status} message about {mentions} by {channel}",
            within_s=60,
        )


@pytest.mark.timeout(240)
def test_a_flow_that_failed_after_all_its_retries_is_critical(lab: Lab) -> None:
    missing = lab.addresses.landing / "stocks" / "promised-and-never-sent.csv"
    arrived = {
        "uri": missing.as_uri(), "path": str(missing), "name": missing.name, "dataset": "stocks", "format": "csv",
        "size_bytes": 1, "sha256": "0" * 64, "modified_at": "2026-03-02T10:00:00Z",
    }  # fmt: skip
    lab.must("publish", "lab.file.arrived.v1", "--data", json.dumps(arrived))

    firing = alert(lab, "flow-failed", "firing", deployment=ETL)
    assert firing["severity"] == "critical"
    assert missing.name in firing["description"]
    told(lab, firing["annotations"]["run_name"], "firing")

    drop(real_prices(), lab.addresses.landing / "stocks" / "after-the-failure.csv")
    over = alert(lab, "flow-failed", "resolved", deployment=ETL)
    assert over["episode"] == firing["episode"]
    told(lab, firing["annotations"]["run_name"], "resolved")


@pytest.fixture
def two_seconds_for_the_pipeline(lab: Lab) -> Iterator[None]:
    """The limit of one deployment, set as its owner would, and taken back."""
    lab.must("thresholds", "set", "flow-duration", "max_duration_s", "2", "--for", KAFKA_PIPELINE)
    yield
    lab.must("thresholds", "unset", "flow-duration", "max_duration_s", "--for", KAFKA_PIPELINE)


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("two_seconds_for_the_pipeline")
def test_a_flow_beyond_its_limit_is_a_warning_while_it_still_runs(lab: Lab) -> None:
    # An empty topic keeps the pipeline waiting for as long as it is told to.
    run_id = trigger(
        lab, "kafka-pipeline", topico_entrada="lab.s3-notifications", topico_saida=user_topic(lab), espera_s=20
    )

    firing = alert(lab, "flow-duration", "firing", run_id=run_id)
    run = get(f"{lab.addresses.prefect_api}/flow_runs/{run_id}")
    assert run["state_type"] == "RUNNING"
    assert firing["severity"] == "warning"
    told(lab, run["name"], "firing")

    ended(lab, run_id)
    alert(lab, "flow-duration", "resolved", run_id=run_id)
    told(lab, run["name"], "resolved")


@pytest.mark.timeout(240)
def test_a_service_that_does_not_answer_is_a_warning_until_it_does(lab: Lab) -> None:
    pid = lab.status()["mlflow"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        trigger(lab, "monitoring-5min")
        firing = alert(lab, "resource-unavailable", "firing", service="mlflow", check="health")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert firing["severity"] == "warning"
    told(lab, "mlflow", "firing")

    wait_for(lambda: _answers(f"{lab.addresses.mlflow}/health"), "MLflow")
    trigger(lab, "monitoring-5min")
    over = alert(lab, "resource-unavailable", "resolved", service="mlflow", check="health")
    assert over["episode"] == firing["episode"]
    told(lab, "mlflow", "resolved")


def _answers(url: str) -> bool:
    with httpx.Client(trust_env=False, timeout=5) as client:
        return client.get(url).is_success
