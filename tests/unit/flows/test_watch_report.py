"""The page of a look, its summary, what is judged of topics, and which services the settings name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from datalab.bus.inspection import BusView, GroupLag, PartitionView, TopicView
from flows.watch.announcements import NobodyToldError, Told
from flows.watch.changes import Change, Kind
from flows.watch.findings import Check, Measurement, Subject
from flows.watch.look import Look
from flows.watch.planning import PLANNING, PlanningHealth
from flows.watch.report import monitoring_report, summary
from flows.watch.schema_changes import SchemaChanges
from flows.watch.services import Health, figures_of, targets
from flows.watch.settings import WatchSettings
from flows.watch.tables import LAKE, ROOT, LakeHealth, TableHealth
from flows.watch.topics import TOPICS, TopicsHealth, judge
from schemas.catalog import TopicSpec
from schemas.metrics import POOL_SILENCE, RUN_WAITING, UNPLANNED

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MLFLOW = Subject("mlflow", "health")
METRICS = """# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.
process_cpu_seconds_total 12.5
process_resident_memory_bytes 1.01646336e+08
process_cpu_seconds_total_other 3
"""
RUNS = TopicView(
    "lab.runs", (PartitionView(0, 0, 1200, recent=40), PartitionView(1, 5, 8, recent=2)), size_bytes=402_118
)


def a_look() -> Look:
    ingest = Health(
        Check(Subject("ingest", "readiness")), "http://i/readyz", 0.012, tuple(figures_of("ingest", METRICS))
    )
    mlflow = Health(Check(MLFLOW, "a | b"), "http://m/health", 3.0)
    silver = Check(Subject(LAKE, "silver/t"))
    table = TableHealth(
        "silver/t", silver, 4, NOW - timedelta(hours=3), 1500, 2, 2_500_000, 1, 5, SchemaChanges(1, "z (new)")
    )
    broken = TableHealth("gold/b", Check(Subject(LAKE, "gold/b"), "cannot be read"))
    view = BusView({"lab.runs": RUNS}, (GroupLag("monitor", "lab.runs", 7, NOW - timedelta(minutes=90)),))
    missing = Check(Subject("kafka", "topic lab.files"), "the topic does not exist")
    waits = (
        Measurement("etl/daily", RUN_WAITING, 1200, "s"),
        Measurement("etl/hourly", RUN_WAITING, 0, "s"),
        Measurement("etl/hourly", UNPLANNED, 0, "1"),
        Measurement("mlops-pool", POOL_SILENCE, 180, "s"),
        Measurement("etl-pool", POOL_SILENCE, 9, "s"),
    )
    return Look(
        NOW,
        [ingest, mlflow],
        LakeHealth((table, broken), Check(ROOT)),
        TopicsHealth(view, (Check(TOPICS), Check(Subject("kafka", "topic lab.runs")), missing)),
        PlanningHealth(Check(PLANNING), waits),
    )


def test_the_page_has_a_table_of_each_section() -> None:
    began = Change(Kind.DEGRADED, MLFLOW, "a | b", NOW)
    page = monitoring_report(a_look(), Told((began,), {MLFLOW: NOW}, 5))
    for line in (
        "# Monitoring: 3 findings",
        "| mlflow | health | 2026-03-02 09:00 UTC | a \\| b |",
        "| ingest | readiness | `http://i/readyz` | 12 | ok | 12.5 | 101.6 MB |",
        "| mlflow | health | `http://m/health` | 3,000 | **fails**: a \\| b | – | – |",
        "| lab.files | – | – | – | – | – | **fails**: the topic does not exist |",
        "| lab.runs | 2 | 1,203 | 42 | 402.1 kB | 1,200, 8 | ok |",
        "| lab.runs | monitor | 7 | 90 min |",
        "| silver/t | 4 | 3 h | 1,500 | 2 | 2.5 MB | 1 | 5 | z (new) | ok |",
        "| etl/daily | a run is due | 20 min |",
        "| mlops-pool | workers are silent | 3 min |",
        "| gold/b | – | – | – | – | – | – | – | – | **fails**: cannot be read |",
    ):
        assert line in page.splitlines(), line


def test_the_page_says_what_could_not_be_seen_and_that_nobody_was_told() -> None:
    away = TopicsHealth(None, (Check(TOPICS, "no Kafka broker answers"),))
    look = Look(NOW, [], LakeHealth(unseen="LAKE_ROOT is elsewhere"), away)
    page = monitoring_report(look, None)
    assert "nobody was told" in page
    assert "LAKE_ROOT is elsewhere" in page
    assert look.unseen == {"lake", "kafka"}
    assert "no Kafka broker answers" in page
    text = str(NobodyToldError(ConnectionError("no broker"), look))
    assert text == "no broker. Nobody could be told what this run found: kafka/topics: no Kafka broker answers"


def test_all_is_well() -> None:
    look = Look(NOW, [], LakeHealth(root=Check(ROOT)), TopicsHealth(BusView({}, ()), (Check(TOPICS),)))
    assert monitoring_report(look, Told((), {}, 0)).startswith("# Monitoring: all is well\n")
    assert look.unseen == frozenset()


def test_the_summary_is_json_and_counts() -> None:
    look = a_look()
    answer = summary(look, Told((Change(Kind.DEGRADED, MLFLOW, "a | b", NOW),), {}, len(look.measurements)))
    assert json.loads(json.dumps(answer)) == answer
    assert answer["healthy"] is False
    assert answer["degraded"] == ["mlflow/health"]
    assert answer["findings"]["mlflow/health"] == "a | b"
    assert answer["lag"] == {"lab.runs/monitor": 7}
    assert answer["tables"] == {"silver/t": 1500, "gold/b": None}
    # CPU, memory; age, rows, files, bytes, small files, log, columns; of topics records, recent ones, bytes, lag and
    # its age; planning.
    assert answer["measurements"] == 2 + 7 + 5 + 5


def test_cpu_and_memory_come_out_of_prometheus_metrics() -> None:
    assert figures_of("ingest", METRICS) == [
        Measurement("ingest", "service.cpu_seconds", 12.5, "s"),
        Measurement("ingest", "service.memory_bytes", 101_646_336.0, "By"),
    ]
    assert figures_of("ingest", "nothing 1") == []


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (None, "does not exist"),
        (TopicView("t", (PartitionView(0, 0, 0),)), "has 1 of 2 partitions"),
        (TopicView("t", (PartitionView(0, 0, 0),), leaderless=(1,)), "no leader for partition 1"),
        (TopicView("t", tuple(PartitionView(n, 0, 0) for n in range(3))), None),
    ],
)
def test_a_topic_is_judged_by_what_its_declaration_says(seen: TopicView | None, reason: str | None) -> None:
    spec = TopicSpec(name="t", owner="o", key="k", description="", partitions=2, retention_hours=1)
    check = judge(spec, seen)
    assert (check.reason is None) if reason is None else (reason in (check.reason or ""))


def watched(monkeypatch: pytest.MonkeyPatch, **environ: str) -> dict[str, str]:
    """Address of each service that an environment names."""
    for name in WatchSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    settings = WatchSettings(_env_file=None)
    # Of a service with several checks, the first.
    return {t.subject.service: t.address for t in reversed(targets(settings, httpx.AsyncClient(), 1))}


def test_every_service_is_watched_at_its_usual_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched(monkeypatch) == {
        "ingest": "http://127.0.0.1:8081/readyz",
        "bridge": "http://127.0.0.1:8082/readyz",
        "monitor": "http://127.0.0.1:8083/readyz",
        "notifier": "http://127.0.0.1:8084/readyz",
        "dashboard": "http://127.0.0.1:8501/_stcore/health",
        "kafka": "127.0.0.1:9092",
        "prefect": "http://127.0.0.1:4200/api/health",
        "mlflow": "http://127.0.0.1:5000/health",
        "host": "the lab's disk",
    }


@pytest.mark.parametrize(
    ("environ", "service", "address"),
    [
        ({"INGEST_URL": "http://ingest:81/"}, "ingest", "http://ingest:81/readyz"),
        ({"DASHBOARD_URL": ""}, "dashboard", None),
        ({"MINIO_ENDPOINT": "http://s3:9000"}, "s3", "http://s3:9000/"),
        ({"MINIO_ENDPOINT": "http://s3:9000", "WATCH_S3_BUCKET": "watch"}, "s3", "http://s3:9000/watch"),
        ({"WATCH_S3_BUCKET": "watch"}, "s3", None),
        ({"LAKE_ROOT": "s3://lake/x", "WATCH_S3_BUCKET": "watch"}, "s3", "https://s3.amazonaws.com/lake"),
        ({"MLFLOW_TRACKING_URI": "sqlite:///x.db"}, "mlflow", None),
        ({"MLFLOW_TRACKING_URI": "https://me:secret@ml.example"}, "mlflow", "https://ml.example/health"),
        (
            {"DATABASE_URL": "postgresql+asyncpg://me:secret@db:5432/lab?ssl=x"},
            "postgres",
            "postgresql+asyncpg://db:5432/lab",
        ),
        ({"SPARK_REMOTE": "sc://spark:15002/;token=secret"}, "spark", "sc://spark:15002"),
        ({"SMTP_HOST": "mail.example", "SMTP_PORT": "587"}, "smtp", "smtp://mail.example:587"),
        ({}, "smtp", None),
        ({"SPARK_REMOTE": "sc://spark"}, "spark", "sc://spark:15002"),
        ({"SPARK_MASTER_URL": "spark://one:7077,two:7077"}, "spark", "spark://one:7077"),
        ({"SPARK_MASTER_URL": "local[2]"}, "spark", None),
    ],
)
def test_addresses_follow_the_environment_and_show_no_secret(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, Any], service: str, address: str | None
) -> None:
    assert watched(monkeypatch, **environ).get(service) == address


def test_an_address_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match=r"bridge_url\n.*must be an address such as"):
        watched(monkeypatch, BRIDGE_URL="bridge:8082")
