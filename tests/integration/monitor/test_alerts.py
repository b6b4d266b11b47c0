"""Events in, alerts out: one firing and one resolved per episode, with the trace, on real Kafka and Postgres."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datalab.bus.publisher import Publisher
from datalab.bus.reader import read_records
from schemas.catalog import DEAD_LETTERS, parse_data
from schemas.codec import EncodedRecord
from schemas.envelope import event_id
from schemas.runs import RunCompleted, RunFailed, RunStarted
from tests.integration.monitor.parts import Monitor, Taps
from tests.support.monitor_events import degraded, quality_failed, quality_passed, recovered, run_event
from tests.support.polling import eventually


@pytest.fixture(autouse=True)
async def _ready(running: Monitor) -> None:
    await running.ready()


def kinds(alerts: list[Any]) -> list[str]:
    return [alert.type.split(".")[2] for alert in alerts]


async def test_an_episode_fires_once_and_resolves_once(running: Monitor, taps: Taps, dataset: str) -> None:
    first, second = quality_failed(dataset), quality_failed(dataset)
    passed = quality_passed(dataset)
    late = quality_passed(dataset, time=first.time - timedelta(hours=1))
    # All have one key, so the last alert proves that everything before it was handled.
    await taps.publish(first, first, first, second, late, passed, passed, first, second)
    again = quality_failed(dataset)
    await taps.publish(again)

    alerts = await taps.until_alerts(3, dataset=dataset)

    assert kinds(alerts) == ["firing", "resolved", "firing"]
    firing, resolved, refiring = alerts
    assert [alert.causationid for alert in alerts] == [first.id, passed.id, again.id]
    assert {alert.correlationid for alert in alerts} == {"the-file"}
    assert firing.id == event_id("firing", firing.data["episode"])
    assert resolved.id == event_id("resolved", firing.data["episode"])
    assert resolved.data["episode"] == firing.data["episode"] != refiring.data["episode"]
    assert firing.data["fingerprint"] == refiring.data["fingerprint"] == firing.subject
    for alert in alerts:
        parse_data(alert)


async def test_an_alert_says_what_broke_where(running: Monitor, taps: Taps, dataset: str) -> None:
    event = quality_failed(dataset)
    await taps.publish(event)
    [alert] = await taps.until_alerts(1, dataset=dataset)
    assert alert.data["severity"] == "error"
    assert alert.data["summary"] == f"Quality of {dataset}: 3 of 10 rows break price_positive"
    assert alert.data["annotations"]["rules"] == "price_positive=3"
    assert alert.data["annotations"]["event_id"] == event.id
    assert alert.data["annotations"]["run_url"].endswith("/runs/flow-run/run-1")
    assert datetime.fromisoformat(alert.data["starts_at"]) == event.time


async def test_a_failed_run_is_critical_until_the_deployment_completes(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    deployment = f"etl/{dataset}"
    other = run_event(RunCompleted, run=f"{dataset}-o", deployment=f"{deployment}-other")
    failed = run_event(RunFailed, run=f"{dataset}-1", deployment=deployment, message="ValueError: no rows")
    completed = run_event(RunCompleted, run=f"{dataset}-2", deployment=deployment)
    await taps.publish(failed, other, completed)
    alerts = await taps.until_alerts(2, deployment=deployment)
    assert [(alert.data["severity"], alert.causationid) for alert in alerts] == [
        ("critical", failed.id),
        ("critical", completed.id),
    ]
    assert alerts[0].data["annotations"]["message"] == "ValueError: no rows"


async def test_a_check_that_fails_is_a_warning_until_it_passes_again(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    failing, passing = degraded(dataset, "write"), recovered(dataset, "write")
    await taps.publish(failing, degraded(dataset, "read"), recovered(dataset, "read"), passing)
    alerts = await taps.until_alerts(2, service=dataset, check="write")
    assert [(alert.data["rule"], alert.data["severity"], alert.causationid) for alert in alerts] == [
        ("resource-unavailable", "warning", failing.id),
        ("resource-unavailable", "warning", passing.id),
    ]
    assert kinds(alerts) == ["firing", "resolved"]
    assert alerts[0].data["annotations"]["reason"] == "no answer within 5 s"
    assert len(await taps.until_alerts(2, service=dataset, check="read")) == 2


async def test_flows_have_counts_success_and_quantiles_of_their_runs(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    deployment, now = f"etl/{dataset}", datetime.now(UTC)
    durations = [1.0, 2.0, 3.0, 4.0, 50.0]
    ages = [timedelta(days=8), timedelta(days=3), timedelta(hours=3), timedelta(minutes=3), timedelta(minutes=2)]
    ended = [
        run_event(model, run=f"{dataset}-{n}", deployment=deployment, time=now - age, duration_s=seconds)
        for n, (model, age, seconds) in enumerate(
            zip([RunCompleted, RunCompleted, RunCompleted, RunFailed, RunCompleted], ages, durations, strict=True)
        )
    ]
    late_start = run_event(RunStarted, run=f"{dataset}-4", deployment=deployment, time=now - timedelta(minutes=5))
    running_now = run_event(RunStarted, run=f"{dataset}-now", deployment=deployment, time=now)
    await taps.publish(*ended, *ended, late_start, running_now)

    async def flow() -> Any:
        flows = (await running.get("/v1/flows")).json()["flows"]
        return next((flow for flow in flows if flow["deployment"] == deployment), None)

    found = await eventually(flow, until=lambda flow: flow is not None and flow["last_state"] == "Running")
    assert (found["runs_hour"], found["runs_day"], found["runs_week"]) == (2, 3, 4)
    assert found["success_rate"] == 0.75
    week = durations[1:]
    cuts = statistics.quantiles(week, n=100, method="inclusive")
    assert found["duration"] == pytest.approx(
        {
            "mean_s": statistics.mean(week),
            "p50_s": statistics.median(week),
            "p90_s": cuts[89],
            "p95_s": cuts[94],
            "p99_s": cuts[98],
        }
    )
    runs = (await running.get(f"/v1/runs?deployment={deployment}")).json()["runs"]
    assert [run["run_id"] for run in runs] == [f"{dataset}-{n}" for n in ("now", 4, 3, 2, 1, 0)]
    assert runs[1]["state_name"] == "Completed", "the late start must not move the run back"


async def test_a_record_that_is_no_event_is_buried_and_the_next_is_handled(
    running: Monitor, taps: Taps, dataset: str, kafka_bootstrap: str
) -> None:
    tombstone: Any = None
    async with Publisher(kafka_bootstrap, "tests") as publisher:
        broken = [
            EncodedRecord(dataset.encode(), b"{not json", [("ce_id", b"1")]),
            EncodedRecord(dataset.encode(), tombstone, []),
        ]
        refs = [await publisher.publish_record("lab.quality", record) for record in broken]
    await taps.publish(quality_failed(dataset))
    await taps.until_alerts(1, dataset=dataset)

    async def buried() -> list[dict[str, bytes]]:
        records = [r async for r in read_records(kafka_bootstrap, [DEAD_LETTERS]) if r.key == dataset.encode()]
        return [dict(record.headers) for record in records]

    headers = await eventually(buried, until=lambda found: len(found) >= 2)
    assert [(h["dlq_topic"], int(h["dlq_offset"])) for h in headers] == [(b"lab.quality", ref.offset) for ref in refs]
    assert b"is missing" in headers[0]["dlq_reason"]
    assert b"tombstone" in headers[1]["dlq_reason"]


async def test_alerts_are_listed_filtered_and_paged(running: Monitor, taps: Taps, dataset: str) -> None:
    await taps.publish(*(quality_failed(f"{dataset}-{n}") for n in range(3)), quality_passed(f"{dataset}-0"))
    await taps.until_alerts(2, dataset=f"{dataset}-0")
    for n in (1, 2):
        await taps.until_alerts(1, dataset=f"{dataset}-{n}")

    seen: list[tuple[str, str]] = []
    token: str | None = ""
    while token is not None:
        page = (await running.get(f"/v1/alerts?rule=data-quality&page_size=2&page_token={token}")).json()
        assert len(page["alerts"]) <= 2
        seen += [(alert["labels"]["dataset"], alert["status"]) for alert in page["alerts"]]
        token = page["next_page_token"]
    assert sorted(entry for entry in seen if entry[0].startswith(dataset)) == [
        (f"{dataset}-0", "resolved"),
        (f"{dataset}-1", "firing"),
        (f"{dataset}-2", "firing"),
    ]
    resolved = (await running.get("/v1/alerts?status=resolved&severity=error")).json()["alerts"]
    assert {alert["status"] for alert in resolved} == {"resolved"}
    assert (await running.get("/v1/alerts?severity=critical&rule=data-quality")).json()["alerts"] == []


@pytest.mark.parametrize("query", ["page_size=0", "page_size=501", "page_token=nonsense", "status=open", "severity=x"])
async def test_a_wrong_query_is_a_problem(running: Monitor, query: str) -> None:
    answer = await running.get(f"/v1/alerts?{query}")
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_metrics_count_events_open_alerts_durations_and_lag(running: Monitor, taps: Taps, dataset: str) -> None:
    await taps.publish(
        quality_failed(dataset), run_event(RunCompleted, run=dataset, deployment=f"m/{dataset}", duration_s=7)
    )
    await taps.until_alerts(1, dataset=dataset)

    await running.shows(
        'datalab_monitor_events_total{type="lab.quality.failed.v1"}',
        'datalab_monitor_open_alerts{severity="error"}',
        'datalab_monitor_lag_records{partition="0",topic="lab.services"} 0.0',
        f'datalab_monitor_run_duration_seconds_count{{deployment="m/{dataset}",state="completed"}} 1.0',
        f'datalab_monitor_run_duration_seconds_sum{{deployment="m/{dataset}",state="completed"}} 7.0',
    )


async def test_openapi_names_every_list(running: Monitor) -> None:
    paths = (await running.get("/openapi.json")).json()["paths"]
    assert {"/v1/alerts", "/v1/flows", "/v1/runs", "/livez", "/readyz", "/metrics"} <= set(paths)
    assert {"/v1/runs/histogram", "/v1/summary", "/v1/services", "/v1/topics", "/v1/datasets"} <= set(paths)
    assert {"/v1/rules", "/v1/rules/{name}", "/v1/thresholds", "/v1/thresholds/{rule}/{name}"} <= set(paths)
