"""Every flow of the guide in the running lab: started as its user would, and what it leaves looked at."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from datalab.bus.reader import read_records
from datalab.local.demo.run import GOOD, demonstrate
from datalab.local.demo.samples import SYMBOLS
from tests.e2e.conftest import Lab
from tests.e2e.runs import artifacts, completed, get, post, trigger, user_topic, wait_for

EVENTOS = [
    {"regiao": "sul", "data": "2026-03-01", "valor": 10.5},
    {"regiao": "sul", "data": "2026-03-01", "valor": 4.5},
    {"regiao": "norte", "data": "2026-03-01", "valor": 7},
    {"regiao": "norte", "data": "2026-03-02", "valor": 1.25},
    {"regiao": None, "data": "2026-03-02", "valor": 3},
    {"regiao": "sul", "data": "2026-03-02", "valor": -1},
]


@pytest.fixture(scope="module")
def stocks(lab: Lab) -> None:
    """The lake holds the real prices, and the champion was trained on them."""
    proof = asyncio.run(demonstrate(lab.addresses, lambda _: None, acts=[GOOD], patience_s=120))
    assert proof.proved, proof.as_dict()


def runs_of(lab: Lab, deployment: str, tag: str) -> list[dict[str, Any]]:
    """Runs of a deployment that bear a tag."""
    body = {"flow_runs": {"tags": {"all_": [tag]}}, "deployments": {"name": {"any_": [deployment]}}}
    return list(post(f"{lab.addresses.prefect_api}/flow_runs/filter", body))


def events(lab: Lab, topic: str) -> list[dict[str, Any]]:
    """Every event of a topic so far."""
    printed = lab.must("events", "tail", "--topic", topic, "--from", "beginning", "--no-follow", "--json")
    return [json.loads(line)["event"] for line in printed.splitlines()]


def records(lab: Lab, topic: str) -> int:
    """How many records a topic holds."""

    async def count() -> int:
        return len([record async for record in read_records(lab.addresses.kafka, [topic])])

    return asyncio.run(count())


def test_a_file_of_eventos_becomes_totals_by_region_and_day(lab: Lab) -> None:
    landing = lab.addresses.landing / "eventos"
    landing.mkdir(parents=True, exist_ok=True)
    hidden = landing / ".march.json.part"
    hidden.write_text(json.dumps(EVENTOS), "utf-8")
    target = hidden.rename(landing / "march.json")

    def arrived() -> dict[str, Any] | None:
        files = get(f"{lab.addresses.ingest}/v1/files", page_size=500)["files"]
        return next((f for f in files if f["path"] == str(target) and f["status"] == "published"), None)

    event_id = wait_for(arrived, "the event of the file")["event_id"]
    [run] = wait_for(lambda: runs_of(lab, "medallion-etl-daily", f"datalab.event={event_id}"), "the run of the file")
    completed(lab, run["id"])

    gold = DeltaTable(f"{lab.addresses.lake}/gold/eventos_por_regiao").to_pyarrow_table().to_pylist()
    totals = {(row["regiao"], str(row["data"])): float(row["total_valor"]) for row in gold}
    assert totals == {("sul", "2026-03-01"): 15.0, ("norte", "2026-03-01"): 7.0, ("norte", "2026-03-02"): 1.25}
    assert DeltaTable(f"{lab.addresses.lake}/silver/eventos").metadata().partition_columns == ["data"]


@pytest.mark.usefixtures("stocks")
def test_monitoring_measures_topics_tables_and_services(lab: Lab) -> None:
    run = completed(lab, trigger(lab, "monitoring-5min"))
    names = {event["data"]["name"] for event in events(lab, "lab.metrics")}
    assert {"topic.lag", "table.age_seconds", "table.rows", "service.cpu_seconds", "run.cpu_seconds"} <= names

    def told() -> dict[str, str]:
        services = get(f"{lab.addresses.monitor}/v1/services")["services"]
        return {service["service"]: service["status"] for service in services}

    # The monitor may still be at what it was told of them.
    wait_for(lambda: {"ingest", "bridge", "monitor", "notifier"} <= told().keys(), "all services")
    wait_for(lambda: set(told().values()) == {"ok"}, "services that are all well")
    [report] = artifacts(lab, run["id"])
    assert "lab.files" in report["data"]
    assert "stocks" in report["data"]


@pytest.mark.usefixtures("stocks")
def test_training_keeps_every_model_and_the_same_data_makes_no_new_one(lab: Lab) -> None:
    mlflow = f"{lab.addresses.mlflow}/api/2.0/mlflow"

    def champion() -> str:
        answer = get(f"{mlflow}/registered-models/alias", name="stocks-return", alias="champion")
        return str(answer["model_version"]["version"])

    def made() -> list[tuple[str, str]]:
        told = [e for e in events(lab, "lab.models") if e["data"]["name"] == "stocks-return"]
        kinds = ("lab.model.registered.v1", "lab.model.promoted.v1")
        return [(e["type"], e["data"]["version"]) for e in told if e["type"] in kinds]

    # Other files may have come since the champion was trained; after this run a model of this very data exists.
    completed(lab, trigger(lab, "mlops-training-weekly"), within_s=180)
    before, known = champion(), made()
    assert ("lab.model.registered.v1", before) in known
    assert ("lab.model.promoted.v1", before) in known
    run = completed(lab, trigger(lab, "mlops-training-weekly"), within_s=180)
    assert (champion(), made()) == (before, known)
    own = [e for e in events(lab, "lab.models") if e["data"]["name"] == "stocks-return"]
    scored = {
        e["data"]["entity"] for e in own if e["type"].startswith("lab.score.") and e["data"]["run_id"] == run["id"]
    }
    assert scored == set(SYMBOLS)
    assert artifacts(lab, run["id"])

    experiment = get(f"{mlflow}/experiments/get-by-name", experiment_name="stocks-return")["experiment"]
    trained = post(f"{mlflow}/runs/search", {"experiment_ids": [experiment["experiment_id"]]})["runs"]
    measured = [r for r in trained if {"test_rmse", "test_mae"} <= {m["key"] for m in r["data"].get("metrics", [])}]
    assert len(measured) >= 5  # four algorithms and the baseline


@pytest.mark.usefixtures("stocks")
def test_maintenance_backs_up_what_is_critical_before_it_cleans(lab: Lab) -> None:
    rows = DeltaTable(f"{lab.addresses.lake}/silver/stocks").to_pyarrow_dataset().count_rows()
    run = completed(lab, trigger(lab, "maintenance-weekly"), within_s=240)
    assert DeltaTable(f"{lab.addresses.lake}/silver/stocks").to_pyarrow_dataset().count_rows() == rows
    reports = sorted((Path(lab.home) / "reports" / "maintenance").glob("*.html"))
    assert reports
    assert "silver/stocks" in reports[-1].read_text("utf-8")
    assert artifacts(lab, run["id"])
    operations = {entry["operation"] for entry in DeltaTable(f"{lab.addresses.lake}/silver/stocks").history()}
    assert "VACUUM END" in operations


def test_the_kafka_pipeline_copies_each_message_once(lab: Lab) -> None:
    output = user_topic(lab)
    waiting = records(lab, "lab.files")
    assert waiting > 0
    arguments = {"topico_entrada": "lab.files", "topico_saida": output, "limite": 1000, "espera_s": 3}
    for _ in ("all of them", "none is left"):
        completed(lab, trigger(lab, "kafka-pipeline", **arguments))
        assert records(lab, output) == waiting


def test_the_guides_command_lists_every_deployment_with_its_schedule(lab: Lab) -> None:
    deployments = post(f"{lab.addresses.prefect_api}/deployments/filter", {})
    schedules = {d["name"]: [s["schedule"]["cron"] for s in d["schedules"]] for d in deployments}
    assert schedules == {
        "medallion-etl-daily": ["0 6 * * *"],
        "monitoring-5min": ["*/5 * * * *"],
        "mlops-training-weekly": ["0 2 * * 0"],
        "maintenance-weekly": ["0 3 * * 6"],
        "kafka-pipeline": [],
        "quarantine-audit": [],
        "quarantine-replay": [],
    }
    zones = {s["schedule"]["timezone"] for d in deployments for s in d["schedules"]}
    assert zones == {"America/Sao_Paulo"}
