"""The guide's table of alerts: each row's real condition, its message in the inbox while it lasts, and its end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from datalab.local.demo.samples import Sample, drop, real_prices
from datalab.local.layout import LabLayout
from flows.config import FlowSettings
from tests.e2e import neighbour
from tests.e2e.conftest import Lab
from tests.e2e.runs import completed, ended, get, messages, post, put, trigger, user_topic, wait_for

CHANNELS = ("email", "slack", "teams", "webhook")
KAFKA_PIPELINE = "kafka-pipeline/kafka-pipeline"
RETRIES = FlowSettings().task_retries


def alerts(lab: Lab, rule: str, status: str, **labels: str) -> list[dict[str, Any]]:
    """The alerts of a rule with these labels and this status, the newest first."""
    found = get(f"{lab.addresses.monitor}/v1/alerts", rule=rule, status=status)["alerts"]
    return [a for a in found if labels.items() <= a["labels"].items()]


def alert(lab: Lab, rule: str, status: str, **labels: str) -> dict[str, Any]:
    """The newest of them, once there is one."""
    return wait_for(lambda: next(iter(alerts(lab, rule, status, **labels)), None), f"{rule} {status} for {labels}")


def told(lab: Lab, mentions: str, status: str, severity: str) -> None:
    """Every channel has a message about it with this status and severity."""

    def look(channel: str) -> bool:
        found = (json.dumps(message).lower() for message in messages(lab, channel, mentions))
        return any(status in text and severity in text for text in found)

    for channel in CHANNELS:
        wait_for(
            lambda channel=channel: look(channel),
            f"a {status} message of severity {severity} about {mentions} by {channel}",
            within_s=60,
        )


def log_of(lab: Lab, run_id: str) -> str:
    """The last lines of the run's log in its alert; empty while there are none."""
    firing = alerts(lab, "flow-failed", "firing", deployment=KAFKA_PIPELINE)
    return next((a["annotations"].get("log", "") for a in firing if a["annotations"]["run_id"] == run_id), "")


def without_log(lab: Lab, run_id: str) -> list[str]:
    """What the monitor says of why the run's alert went without the last lines of its log."""
    lines = LabLayout.at(lab.home).log("monitor").read_text("utf-8").splitlines()
    return [line for line in lines if "alert.without_log" in line and run_id in line]


def tries(lab: Lab, run_id: str) -> int:
    """How often the task of the run that was tried most was tried."""
    found = post(f"{lab.addresses.prefect_api}/task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
    return max((task["run_count"] for task in found), default=0)


@pytest.fixture
def away() -> Iterator[socket.socket]:
    """The neighbour's place: taken, so that nobody else gets it, and refusing everybody until it listens."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        yield place


def test_a_flow_that_failed_after_all_its_retries_is_critical(lab: Lab, away: socket.socket) -> None:
    topic = user_topic(lab)
    put(lab, topic, {"port": away.getsockname()[1]})
    parameters = {
        "topico_entrada": topic, "topico_saida": user_topic(lab), "espera_s": 2, "processador": neighbour.PROCESSOR,
    }  # fmt: skip

    run_id = trigger(lab, "kafka-pipeline", **parameters)
    wait_for(lambda: tries(lab, run_id) > 1, "a second try")
    assert not alerts(lab, "flow-failed", "firing", deployment=KAFKA_PIPELINE), "told while it is tried again"
    firing = alert(lab, "flow-failed", "firing", deployment=KAFKA_PIPELINE)
    # Prefect stores what is told of tasks a little later than what is told of runs.
    wait_for(lambda: tries(lab, run_id) > RETRIES, "all tries")
    assert tries(lab, run_id) == 1 + RETRIES
    assert (firing["severity"], firing["annotations"]["run_id"]) == ("critical", run_id)
    assert "ConnectionRefusedError" in firing["description"]
    assert {"run_url", "trace_url", "dashboard_url", "runbook"} <= set(firing["annotations"])
    # The lines come with the publication, a moment after the decision that the list above may show. At least what the
    # earlier tries left in the log; if Prefect was too slow with it, the monitor says so of this run.
    quoted = wait_for(lambda: log_of(lab, run_id) or without_log(lab, run_id), "the log's last lines, or why not")
    assert "ConnectionRefusedError" in quoted or without_log(lab, run_id)
    told(lab, firing["annotations"]["run_name"], "firing", "critical")

    # The neighbour is back: the message that waited is processed after all.
    away.listen()
    completed(lab, trigger(lab, "kafka-pipeline", **parameters))
    over = alert(lab, "flow-failed", "resolved", deployment=KAFKA_PIPELINE)
    assert over["episode"] == firing["episode"]
    told(lab, firing["annotations"]["run_name"], "resolved", "critical")


@pytest.fixture
def two_seconds_for_the_pipeline(lab: Lab) -> Iterator[None]:
    """The limit of one deployment, set as its owner would, and taken back."""
    lab.must("thresholds", "set", "flow-duration", "max_duration_s", "2", "--for", KAFKA_PIPELINE)
    yield
    lab.must("thresholds", "unset", "flow-duration", "max_duration_s", "--for", KAFKA_PIPELINE)


@pytest.mark.usefixtures("two_seconds_for_the_pipeline")
def test_a_flow_beyond_its_limit_is_a_warning_while_it_still_runs(lab: Lab) -> None:
    # An empty topic keeps the pipeline waiting until it is given the one message that it is to take.
    awaited = user_topic(lab)
    run_id = trigger(
        lab, "kafka-pipeline", topico_entrada=awaited, topico_saida=user_topic(lab), limite=1, espera_s=300
    )

    firing = alert(lab, "flow-duration", "firing", run_id=run_id)
    run = get(f"{lab.addresses.prefect_api}/flow_runs/{run_id}")
    assert run["state_type"] == "RUNNING"
    assert firing["severity"] == "warning"
    told(lab, run["name"], "firing", "warning")

    put(lab, awaited, {"here": "it is"})
    ended(lab, run_id)
    alert(lab, "flow-duration", "resolved", run_id=run_id)
    told(lab, run["name"], "resolved", "warning")


def put_down(landing: Path, name: str, lines: list[bytes]) -> Path:
    """A file of these lines, complete as soon as it is there."""
    sample = Sample(name, b"\n".join(lines) + b"\n", len(lines) - 1, broken_rows=0, repeated_rows=0)
    return drop(sample, landing / f"{name}-{uuid.uuid4().hex[:8]}.csv")


def test_bad_data_is_an_error_until_good_data_comes(lab: Lab) -> None:
    landing = lab.addresses.landing / "stocks"
    # Volumes below zero, which the gate does not let pass.
    header, *rows = real_prices().content.splitlines()[:1201]
    negative = [re.sub(rb",[^,]+,([^,]+)$", rb",-1,\1", row) for row in rows[:20]]
    bad = put_down(landing, "bad", [header, *negative, *rows[20:]])

    firing = wait_for(
        lambda: next((a for a in alerts(lab, "data-quality", "firing") if bad.name in a["description"]), None),
        f"data-quality firing for {bad.name}",
    )
    assert (firing["severity"], firing["labels"]) == ("error", {"dataset": "stocks"})
    told(lab, bad.stem, "firing", "error")

    put_down(landing, "good", [header, *rows])
    over = alert(lab, "data-quality", "resolved", dataset="stocks")
    assert over["episode"] == firing["episode"]
    told(lab, bad.stem, "resolved", "error")


def test_a_service_that_does_not_answer_is_a_warning_until_it_does(lab: Lab) -> None:
    pid = lab.status()["mlflow"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        trigger(lab, "monitoring-5min")
        firing = alert(lab, "resource-unavailable", "firing", service="mlflow", check="health")
    finally:
        # After long silence the supervisor has replaced it.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert firing["severity"] == "warning"
    told(lab, "mlflow is degraded: health", "firing", "warning")

    wait_for(lambda: _answers(f"{lab.addresses.mlflow}/health"), "MLflow")
    trigger(lab, "monitoring-5min")
    over = alert(lab, "resource-unavailable", "resolved", service="mlflow", check="health")
    assert over["episode"] == firing["episode"]
    told(lab, "mlflow is degraded: health", "resolved", "warning")


def _answers(url: str) -> bool:
    with httpx.Client(trust_env=False, timeout=5) as client:
        return client.get(url).is_success
