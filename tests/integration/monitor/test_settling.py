"""Flapping, limits that are learned and rules that change, on real Kafka and Postgres."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from datalab.local.files import write_atomically
from datalab.runtime.settings import PROJECT_ROOT
from schemas.envelope import Event
from schemas.runs import RunCompleted, RunStarted
from tests.integration.monitor.parts import Monitor, Taps, monitor
from tests.support.lab_parts import fresh_database
from tests.support.monitor_events import degraded, quality_failed, recovered, run_event
from tests.support.polling import eventually


def at(event: Event, time: datetime) -> Event:
    return event.model_copy(update={"time": time})


async def test_a_service_that_flapped_for_ten_minutes_is_one_alert_marked_as_flapping(
    kafka_bootstrap: str, database_url: str, taps: Taps, dataset: str, tmp_path: Path
) -> None:
    begun = datetime.now(UTC) - timedelta(minutes=20)
    flapping = []
    for second in range(0, 600, 4):
        down, up = begun + timedelta(seconds=second), begun + timedelta(seconds=second + 2)
        flapping += [at(degraded(dataset, since=down), down), at(recovered(dataset), up)]
    # Repeats, and enough that it falls into several batches.
    await taps.publish(*flapping[:200], *flapping[90:], *flapping[250:])
    database, group = await asyncio.to_thread(fresh_database, database_url), f"monitor-{uuid.uuid4().hex[:8]}"
    with monitor(tmp_path, kafka_bootstrap, database, group) as process:
        await process.caught_up()
        alerts = await taps.until_alerts(2, service=dataset)

    assert [alert.type for alert in alerts] == ["lab.alert.firing.v1", "lab.alert.resolved.v1"]
    assert alerts[1].data["annotations"]["flapping"] == "the trouble returned 149 times"
    assert datetime.fromisoformat(alerts[1].data["ends_at"]) == begun + timedelta(seconds=598)


async def test_trouble_that_comes_back_much_later_is_another_alert(running: Monitor, taps: Taps, dataset: str) -> None:
    await running.ready()
    begun = datetime.now(UTC) - timedelta(minutes=20)
    times = [begun + timedelta(seconds=s) for s in (0, 2, 30, 32)]
    await taps.publish(
        at(degraded(dataset, since=times[0]), times[0]), at(recovered(dataset), times[1]),
        at(degraded(dataset, since=times[2]), times[2]), at(recovered(dataset), times[3]),
    )  # fmt: skip
    alerts = await taps.until_alerts(4, service=dataset)
    told = [(a.type.split(".")[2], a.data["starts_at"], a.data.get("ends_at")) for a in alerts]
    assert [kind for kind, _, _ in told] == ["firing", "resolved", "firing", "resolved"]
    assert [datetime.fromisoformat(str(a.data["ends_at"])) for a in alerts[1::2]] == [times[1], times[3]]


async def test_a_run_that_takes_far_longer_than_its_deployment_usually_does_is_told(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    await running.ready()
    deployment, now = f"etl/{dataset}", datetime.now(UTC)
    history = [
        run_event(RunCompleted, run=f"{dataset}-{n}", deployment=deployment, time=now - timedelta(hours=n + 1),
                  duration_s=10.0)
        for n in range(20)
    ]  # fmt: skip
    begun = now - timedelta(seconds=95)
    soon = run_event(RunStarted, run=f"{dataset}-slow", deployment=deployment, time=begun, start_time=begun)
    await taps.publish(*history, soon)

    [alert] = await taps.until_alerts(1, deployment=deployment)

    assert alert.data["annotations"]["limit_s"] == "100.0"
    assert datetime.fromisoformat(alert.data["starts_at"]) == begun + timedelta(seconds=100)


async def test_rules_that_change_count_without_a_restart_and_a_mistake_does_not(
    kafka_bootstrap: str, database_url: str, taps: Taps, dataset: str, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    shutil.copytree(PROJECT_ROOT / "config", config)
    path, group = config / "alerts.yaml", f"monitor-{uuid.uuid4().hex[:8]}"
    shipped = path.read_text("utf-8")
    # Another monitor on the same database would decide by the shipped rules.
    database = await asyncio.to_thread(fresh_database, database_url)
    with monitor(tmp_path, kafka_bootstrap, database, group, DATALAB_CONFIG_DIR=str(config)) as process:
        await process.caught_up()
        write_atomically(path, shipped.replace("severity: error", "severity: appalling"))

        async def rules() -> dict[str, Any]:
            answer: dict[str, Any] = (await process.get("/v1/rules")).json()
            return answer

        faulty = await eventually(rules, until=lambda rules: rules["fault"] is not None)
        assert "data-quality" in faulty["fault"]
        write_atomically(path, shipped.replace("severity: error", "severity: info"))
        await eventually(rules, until=lambda rules: rules["fault"] is None and rules["since"] > faulty["since"])
        await taps.publish(quality_failed(dataset))

        async def severities() -> set[str]:
            return {alert.data["severity"] for alert in await taps.alerts(dataset=dataset)}

        # Another monitor, by the shipped rules, may tell of it too.
        await eventually(severities, until=lambda told: "info" in told)
