"""The monitoring flow on a real broker, database, Prefect server and service: what it tells, and when."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from deltalake import write_deltalake
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

from datalab.bus.publisher import Publisher
from datalab.bus.reader import read_events
from datalab.bus.topics import ensure_topics
from datalab.runtime.settings import PROJECT_ROOT
from flows import monitoring_flow
from flows.errors import FlowError
from flows.monitoring_flow import monitoring_pipeline
from flows.watch.announcements import SOURCE, NobodyToldError
from schemas.catalog import topics
from schemas.envelope import Event, new_event
from schemas.services import ServiceDegraded
from tests.support.flow_runs import flow_environment
from tests.support.lab_parts import kafka_broker
from tests.support.odd_servers import answering_server, silent_server
from tests.support.polling import eventually
from tests.support.processes import free_port, service, wait_until_ready


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker of this module's own: what others publish about services would be remembered here."""
    with kafka_broker(tmp_path_factory.mktemp("watched")) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="module")
def ingest(tmp_path_factory: pytest.TempPathFactory, broker: str, database_url: str) -> Iterator[str]:
    """The address of a real ingest."""
    home, port = tmp_path_factory.mktemp("ingest"), free_port()
    environ = {
        "DATALAB_HOME": str(home),
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "DATABASE_URL": database_url,
        "INGEST_PORT": str(port),
    }
    log, url = home / "log", f"http://127.0.0.1:{port}"
    with service("services.ingest", environ, log) as process:
        wait_until_ready(url, process, log)
        yield url


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake with one table of three rows."""
    write_deltalake(str(tmp_path / "lake" / "silver" / "stocks"), pa.table({"x": [1, 2, 3]}))
    return tmp_path / "lake"


@pytest.fixture(autouse=True)
def environment(
    tmp_path: Path,
    lake: Path,
    monkeypatch: pytest.MonkeyPatch,
    broker: str,
    ingest: str,
    database_url: str,
    prefect_api_url: str,
) -> Iterator[None]:
    environ = {
        "DATALAB_HOME": str(tmp_path),
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "DATABASE_URL": database_url,
        "INGEST_URL": ingest,
        "MLFLOW_TRACKING_URI": "",
        **dict.fromkeys(("BRIDGE_URL", "MONITOR_URL", "NOTIFIER_URL", "DASHBOARD_URL"), ""),
    }
    with flow_environment(monkeypatch, monitoring_flow, prefect_api_url, environ):
        monkeypatch.setenv("DATABASE_URL", database_url)
        yield


async def events(bootstrap: str, topic: str, **fields: str) -> list[Event]:
    """Events whose payload has these fields, oldest first."""
    found = [event async for _, event in read_events(bootstrap, [topic])]
    return [event for event in found if fields.items() <= event.data.items()]


async def told(bootstrap: str, service: str, check: str) -> list[Event]:
    return await events(bootstrap, "lab.services", service=service, check=check)


@contextmanager
def hidden(lake: Path) -> Iterator[None]:
    """A file stands where the lake was."""
    elsewhere = lake.rename(lake.with_name("moved"))
    lake.write_text("not a lake")
    yield
    lake.unlink()
    elsewhere.rename(lake)


async def page() -> str:
    """The newest artifact of the flow."""
    async with get_client() as client:
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["monitoring"])), sort=ArtifactSort.CREATED_DESC
        )
    return str(found[0].data)


async def test_a_lab_that_is_well_is_measured_and_nothing_is_announced(broker: str) -> None:
    answer = monitoring_pipeline(deadline_s=20)

    assert (answer["healthy"], answer["findings"]) == (True, {})
    assert answer["services"] == dict.fromkeys(("ingest", "kafka", "prefect", "postgres", "host"), "ok")
    assert answer["topics"].keys() >= {spec.name for spec in topics()}
    assert answer["tables"] == {"silver/stocks": 3}
    [heartbeat] = await events(broker, "lab.services")
    assert (heartbeat.type, heartbeat.data) == ("lab.service.heartbeat.v1", {"service": "monitoring"})
    assert heartbeat.time.isoformat() == answer["checked_at"]
    measured = await events(broker, "lab.metrics")
    ours = {(e.data["of"], e.data["name"]): e for e in measured if e.source == SOURCE}
    assert ours["silver/stocks", "table.rows"].data["value"] == 3
    assert ours["ingest", "service.memory_bytes"].data["value"] > 10_000_000
    assert ours["ingest", "service.cpu_seconds"].data["value"] > 0
    assert ours["lab.files", "topic.records"].data["unit"] == "1"
    assert ours["lab.files", "topic.recent_records"].data["value"] == 0
    assert ours["silver/stocks", "table.schema_changes"].data["value"] == 0
    assert ours["silver/stocks", "table.versions"].data["value"] == 1
    assert len([e for e in measured if e.source == SOURCE]) == answer["measurements"]
    text = await page()
    assert text.startswith("# Monitoring: all is well")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Services", "Topics", "Lag", "Runs and workers", "Tables"]


async def test_a_service_that_hangs_is_announced_once_and_its_recovery_once(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_server() as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        first, second = monitoring_pipeline(deadline_s=2), monitoring_pipeline(deadline_s=2)
    [degraded] = await told(broker, "mlflow", "health")
    assert (degraded.type, degraded.data["reason"]) == ("lab.service.degraded.v1", "no answer within 2 s")
    assert "mlflow/health" in first["degraded"]
    assert "mlflow/health" not in second["degraded"]
    assert second["findings"]["mlflow/health"] == "no answer within 2 s"
    began = degraded.data["since"][:16].replace("T", " ")
    assert f"| mlflow | health | {began} UTC | no answer within 2 s |" in await page()

    with answering_server(port=port):
        third, fourth = monitoring_pipeline(deadline_s=20), monitoring_pipeline(deadline_s=20)
    # In two seconds a busy machine may have missed the answer of others, which are back then too.
    assert [check for run in (third, fourth) for check in run["recovered"] if "mlflow" in check] == ["mlflow/health"]
    assert "mlflow/health" in third["recovered"]
    _, recovered = await told(broker, "mlflow", "health")
    assert (recovered.type, recovered.data["since"]) == ("lab.service.recovered.v1", degraded.data["since"])
    assert recovered.time > degraded.time

    # The next trouble is another one.
    monitoring_pipeline(deadline_s=2)
    _, _, again = await told(broker, "mlflow", "health")
    assert again.type == degraded.type
    assert again.id != degraded.id


async def test_a_try_that_broke_off_while_telling_is_repeated_under_the_same_ids(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_URL", f"http://127.0.0.1:{free_port()}")
    publish_many, failures = Publisher.publish_many, iter(["after the changes", "after the measurements"])

    async def broken_off(self: Publisher, batch: Any) -> Any:
        done = await publish_many(self, batch)
        if done and next(failures, None):
            raise TimeoutError("Kafka did not acknowledge a record")
        return done

    monkeypatch.setattr(Publisher, "publish_many", broken_off)
    answer = monitoring_pipeline(deadline_s=20)

    # Already known at the second try, so it is not told again.
    assert len(await told(broker, "bridge", "readiness")) == 1
    assert answer["findings"].keys() >= {"bridge/readiness"}
    at = answer["checked_at"]
    rows = await events(broker, "lab.metrics", of="silver/stocks", name="table.rows")
    repeats = [e.id for e in rows if e.time.isoformat() == at]
    assert len(repeats) == 2
    assert len(set(repeats)) == 1


async def test_without_kafka_the_run_fails_and_says_what_nobody_was_told(
    monkeypatch: pytest.MonkeyPatch, lake: Path
) -> None:
    (lake / "silver" / "stocks" / "_delta_log" / f"{0:020}.json").write_text("{broken")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    with pytest.raises(NobodyToldError) as caught:
        monitoring_pipeline(deadline_s=5)
    for words in (
        "no Kafka broker answers at 127.0.0.1",
        "Nobody could be told",
        "lake/silver/stocks: the table cannot",
    ):
        assert words in str(caught.value)
    assert "nobody was told" in await page()


async def test_a_topic_that_is_missing_is_a_finding_of_kafka_until_it_is_there(broker: str) -> None:
    async def names() -> list[str]:
        return await admin.list_topics()

    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        await admin.delete_topics(["lab.models"])
        await eventually(names, until=lambda known: "lab.models" not in known)
    finally:
        await admin.close()
    assert "does not exist" in monitoring_pipeline(deadline_s=20)["findings"]["kafka/topic lab.models"]

    await ensure_topics(broker, topics())
    assert "kafka/topic lab.models" in monitoring_pipeline(deadline_s=20)["recovered"]
    kinds = [event.type for event in await told(broker, "kafka", "topic lab.models")]
    assert kinds == ["lab.service.degraded.v1", "lab.service.recovered.v1"]


async def test_a_table_that_is_broken_is_a_finding_of_the_lake_until_it_is_gone(broker: str, lake: Path) -> None:
    table = lake / "gold" / "broken"
    write_deltalake(str(table), pa.table({"x": [1]}))
    log = table / "_delta_log" / f"{0:020}.json"
    content = log.read_text()
    log.write_text("{broken")
    answer = monitoring_pipeline(deadline_s=20)
    assert answer["tables"] == {"silver/stocks": 3, "gold/broken": None}
    [degraded] = await told(broker, "lake", "gold/broken")
    assert "cannot be read" in degraded.data["reason"]

    # While the lake cannot be seen nothing is said of its tables.
    with hidden(lake):
        assert list(monitoring_pipeline(deadline_s=20)["findings"]) == ["lake/root"]
    assert len(await told(broker, "lake", "gold/broken")) == 1
    log.write_text(content)
    assert sorted(monitoring_pipeline(deadline_s=20)["recovered"]) == ["lake/gold/broken", "lake/root"]
    assert [e.type for e in await told(broker, "lake", "gold/broken")][1:] == ["lab.service.recovered.v1"]


async def test_what_others_said_of_a_check_is_ended_too_but_not_from_the_future(broker: str) -> None:
    said = ServiceDegraded(service="prefect", check="health", reason="by hand", since="2026-03-02T09:00:00Z")
    later = new_event(said.model_copy(update={"check": "later"}), source="tests")
    async with Publisher(broker, "test") as publisher:
        await publisher.publish(new_event(said, source="tests"))
        await publisher.publish(later.model_copy(update={"time": later.time.replace(year=2999)}))
    assert "prefect/health" in monitoring_pipeline(deadline_s=20)["recovered"]
    assert [e.type for e in await told(broker, "prefect", "later")] == ["lab.service.degraded.v1"]


def test_a_deadline_that_is_none_is_refused_by_name() -> None:
    for wrong in (0, -1, 61, float("nan")):
        with pytest.raises(FlowError, match="deadline_s: must be above 0 and at most 60"):
            monitoring_pipeline(deadline_s=wrong)


def test_it_is_a_plain_function_from_inside_flows_and_needs_no_spark(broker: str) -> None:
    code = (
        "import sys; from monitoring_flow import monitoring_pipeline; r = monitoring_pipeline(deadline_s=20);"
        "print(r['tables'], [m for m in ('pyspark', 'mlflow', 'sklearn', 'pandas') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_ROOT / "flows",
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "{'silver/stocks': 3} []"
