"""What the lab's pages and Prometheus ask for: figures of runs over time, what they cost, services, topics, tables."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from datalab.bus.publisher import Publisher
from datalab.bus.reader import read_records
from schemas import metrics as names
from schemas.catalog import DEAD_LETTERS
from schemas.runs import RunCancelled, RunCompleted, RunFailed, RunScheduled, RunStarted
from tests.integration.monitor.parts import Monitor, Taps
from tests.support.monitor_events import degraded, measured, quality_failed, quality_passed, recovered, run_event
from tests.support.polling import eventually


@pytest.fixture(autouse=True)
async def _ready(running: Monitor) -> None:
    await running.caught_up()


async def entry(running: Monitor, kind: str, key: str, wanted: str) -> dict[str, Any]:
    """The entry of a list, {} while there is none."""
    found = (await running.get(f"/v1/{kind}")).json()[kind]
    return next((one for one in found if one[key] == wanted), {})


async def test_what_a_run_cost_is_known_whether_it_is_measured_before_or_after_it_ends(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    deployment, first, second = f"etl/{dataset}", f"{dataset}-1", f"{dataset}-2"
    await taps.publish(
        measured("etl", names.RUN_CPU, 4.0, run_id=first),
        measured("etl", names.RUN_MEMORY_PEAK, 100.0, run_id=first),
        run_event(RunCompleted, run=first, deployment=deployment, duration_s=5),
        run_event(RunFailed, run=second, deployment=deployment, duration_s=5),
        measured("etl", names.RUN_MEMORY_PEAK, 300.0, run_id=second),
        measured("etl", names.RUN_CPU, 8.0, run_id=second),
        run_event(RunStarted, run=f"{dataset}-3", deployment=deployment),
    )

    async def flow() -> dict[str, Any]:
        return await entry(running, "flows", "deployment", deployment)

    def all_three_known(flow: dict[str, Any]) -> bool:
        # The runs lie in partitions of their own, so one's figures say nothing of the others'.
        return flow.get("cpu") == {"mean_s": 6.0, "max_s": 8.0} and flow.get("running_now") == 1

    found = await eventually(flow, until=all_three_known)
    assert found["memory_peak"] == {"mean_bytes": 200.0, "max_bytes": 300.0}
    assert (found["running_now"], found["runs_hour"], found["success_rate"]) == (1, 2, 0.5)
    runs = (await running.get(f"/v1/runs?deployment={deployment}")).json()["runs"]
    costs = {run["run_id"]: (run["cpu_seconds"], run["memory_peak_bytes"]) for run in runs}
    assert costs == {first: (4.0, 100.0), second: (8.0, 300.0), f"{dataset}-3": (None, None)}

    async def metrics() -> str:
        return (await running.get("/metrics")).text

    for line in (
        f'datalab_monitor_runs{{deployment="{deployment}",window="hour"}} 2.0',
        f'datalab_monitor_running_runs{{deployment="{deployment}"}} 1.0',
        f'datalab_monitor_run_success_ratio{{deployment="{deployment}"}} 0.5',
        f'datalab_monitor_run_duration_mean_seconds{{deployment="{deployment}"}} 5.0',
        f'datalab_monitor_run_duration_quantile_seconds{{deployment="{deployment}",quantile="0.95"}} 5.0',
        f'datalab_monitor_run_cpu_seconds{{deployment="{deployment}",stat="max"}} 8.0',
        f'datalab_monitor_run_memory_peak_bytes{{deployment="{deployment}",stat="mean"}} 200.0',
    ):
        await eventually(metrics, until=lambda text, line=line: line in text)


async def test_runs_over_time_add_up_to_the_counts_of_flows_and_of_the_lab(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    deployment, now = f"etl/{dataset}", datetime.now(UTC)
    minutes = [1, 1, 7, 55, 65, 300, 1430, 1450, 5000, 10_070, 10_090]
    ends = [RunCompleted, RunFailed, RunCancelled] * 4
    await taps.publish(
        *(
            run_event(end, run=f"{dataset}-{n}", deployment=deployment, time=now - timedelta(minutes=ago))
            for n, (ago, end) in enumerate(zip(minutes, ends, strict=False))
        )
    )

    async def known() -> dict[str, Any]:
        return await entry(running, "flows", "deployment", deployment)

    flow = await eventually(known, until=lambda flow: flow.get("runs_week") == 10)
    assert (flow["runs_hour"], flow["runs_day"]) == (4, 7)
    for period, length, bucket in (("hour", 3600, 300), ("day", 86_400, 3600), ("week", 604_800, 21_600)):
        found = (await running.get(f"/v1/runs/histogram?period={period}&deployment={deployment}")).json()
        assert found["bucket_s"] == bucket
        assert sum(count["runs"] for count in found["counts"]) == flow[f"runs_{period}"]
        assert {count["start"] for count in found["counts"]} <= set(found["starts"])
        starts = [datetime.fromisoformat(start) for start in found["starts"]]
        assert {(b - a).total_seconds() for a, b in pairwise(starts)} == {bucket}
        since, until = (datetime.fromisoformat(found[name]) for name in ("since", "until"))
        assert (until - since).total_seconds() == length
        assert starts[0] <= since < starts[1]
        assert starts[-1] <= until < starts[-1] + timedelta(seconds=bucket)
    states = Counter[str]()
    for count in (await running.get(f"/v1/runs/histogram?period=hour&deployment={deployment}")).json()["counts"]:
        states[count["state_type"]] += count["runs"]
    assert states == {"COMPLETED": 2, "FAILED": 1, "CANCELLED": 1}

    flows = (await running.get("/v1/flows")).json()["flows"]
    summary = (await running.get("/v1/summary")).json()
    assert summary["runs"] == {w: sum(f[f"runs_{w}"] for f in flows) for w in ("hour", "day", "week")}
    assert summary["running_now"] == sum(flow["running_now"] for flow in flows)
    whole = (await running.get("/v1/runs/histogram?period=week")).json()["counts"]
    assert sum(count["runs"] for count in whole) == summary["runs"]["week"]


async def test_runs_are_filtered(running: Monitor, taps: Taps, dataset: str) -> None:
    now = datetime.now(UTC)
    ended = [
        run_event(model, run=f"{dataset}-{n}", flow=dataset, deployment=f"{dataset}/d", time=now - timedelta(hours=n))
        for n, model in enumerate([RunCompleted, RunFailed, RunCompleted])
    ]
    await taps.publish(*ended)

    async def listed(**params: str) -> list[str]:
        answer = await running.send("GET", "/v1/runs", params={"flow": dataset, **params})
        assert answer.status_code == 200, answer.text
        return [run["run_id"].removeprefix(f"{dataset}-") for run in answer.json()["runs"]]

    await eventually(listed, until=lambda runs: runs == ["0", "1", "2"])
    assert await listed(state="COMPLETED") == ["0", "2"]
    assert await listed(since=ended[1].time.isoformat()) == ["0", "1"]
    assert await listed(until=ended[1].time.isoformat()) == ["2"]
    assert await listed(deployment="none") == []
    for query in (
        "since=yesterday",
        "since=2026-01-01T00:00:00",
        "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
    ):
        answer = await running.get(f"/v1/runs?{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert "since" in answer.json()["detail"]
    assert (await running.get("/v1/runs/histogram?period=year")).status_code == 422


async def test_a_service_is_shown_with_its_failing_checks_and_what_it_uses(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    now = datetime.now(UTC)
    read = [degraded(dataset, "read"), recovered(dataset, "read")]
    failing = degraded(dataset, "write", since=now - timedelta(minutes=2))
    await taps.publish(
        *read,
        failing,
        measured(dataset, names.SERVICE_CPU, 10.0, time=now - timedelta(seconds=20)),
        measured(dataset, names.SERVICE_CPU, 15.0, time=now - timedelta(seconds=10)),
        measured(dataset, names.SERVICE_CPU, 11.0, time=now - timedelta(seconds=15)),
        measured(dataset, names.SERVICE_MEMORY, 1e8, time=now - timedelta(seconds=10)),
    )

    async def service() -> dict[str, Any]:
        return await entry(running, "services", "service", dataset)

    found = await eventually(service, until=lambda service: service.get("memory_bytes") == 1e8)
    assert found["status"] == "degraded"
    assert [(f["check"], f["reason"]) for f in found["failing"]] == [("write", "no answer within 5 s")]
    assert datetime.fromisoformat(found["failing"][0]["since"]) == now - timedelta(minutes=2)
    assert (found["cpu_seconds"], found["cpu_share"]) == (15.0, 0.5), "the latecomer changes nothing"
    assert datetime.fromisoformat(found["last_seen"]) == failing.time

    async def metrics() -> str:
        return (await running.get("/metrics")).text

    await eventually(metrics, until=lambda text: f'datalab_monitor_service_up{{service="{dataset}"}} 0.0' in text)
    await taps.publish(recovered(dataset, "write"), measured(dataset, names.SERVICE_CPU, 1.0))
    well = await eventually(service, until=lambda service: service["cpu_seconds"] == 1.0)
    assert (well["cpu_share"], well["failing"]) == (None, []), "it was started anew"
    for line in (
        f'datalab_monitor_service_up{{service="{dataset}"}} 1.0',
        f'datalab_monitor_service_cpu_seconds{{service="{dataset}"}} 1.0',
        f'datalab_monitor_service_memory_bytes{{service="{dataset}"}} 1e+08',
    ):
        await eventually(metrics, until=lambda text, line=line: line in text)


async def test_topics_and_tables_are_shown_by_their_newest_measurements(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    table, now = f"silver/{dataset}", datetime.now(UTC)
    await taps.publish(
        measured(dataset, names.TOPIC_RECORDS, 40.0),
        measured(dataset, names.TOPIC_LAG, 7.0, group="bridge"),
        measured(dataset, names.TOPIC_LAG, 0.0, group="monitor"),
        measured(dataset, names.TOPIC_LAG, 5.0),
        measured(dataset, "topic.colour", 5.0),
        measured(dataset, names.TOPIC_RECORDS, float("nan")),
        measured(table, names.TABLE_ROWS, 12_154.0),
        measured(table, names.TABLE_FILES, 3.0),
        measured(table, names.TABLE_SIZE, 4e5),
        measured(table, names.TABLE_AGE, 60.0, time=now),
        measured(f"gold/{dataset}", names.TABLE_AGE, 1e300),
    )

    async def topic() -> dict[str, Any]:
        return await entry(running, "topics", "topic", dataset)

    found = await eventually(topic, until=lambda topic: len(topic.get("groups", [])) == 2)
    assert found["records"] == 40.0
    assert [(g["group"], g["lag"]) for g in found["groups"]] == [("bridge", 7.0), ("monitor", 0.0)]
    odd = await eventually(lambda: entry(running, "datasets", "dataset", f"gold/{dataset}"))
    assert (odd["updated_at"], odd["rows"]) == (None, None)
    # Another partition's, so the odd one being there says nothing of this.
    shown = await eventually(
        lambda: entry(running, "datasets", "dataset", table), until=lambda shown: shown.get("age_seconds") is not None
    )
    assert (shown["layer"], shown["table"], shown["rows"], shown["files"]) == ("silver", dataset, 12_154.0, 3.0)
    assert (shown["size_bytes"], shown["age_seconds"]) == (4e5, 60.0)
    assert datetime.fromisoformat(shown["updated_at"]) == now - timedelta(seconds=60)
    text = (await running.get("/metrics")).text
    for outcome in ("unknown", "unusable", "stored"):
        assert f'datalab_monitor_measurements_total{{outcome="{outcome}"}}' in text


async def test_how_long_runs_waited_and_how_often_they_began_again_is_known(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    deployment, now = f"etl/{dataset}", datetime.now(UTC)
    for number, (waited_s, attempts) in enumerate([(2.0, 1), (4.0, 3), (6.0, 1)]):
        run, due_at = f"{dataset}-{number}", now - timedelta(seconds=60)
        began = due_at + timedelta(seconds=waited_s)
        ended = {"start_time": began, "due_at": due_at, "attempts": attempts, "duration_s": 5.0}
        await taps.publish(
            run_event(RunScheduled, run=run, deployment=deployment, time=due_at, due_at=due_at),
            run_event(RunCompleted, run=run, deployment=deployment, time=now, **ended),
        )

    async def flow() -> dict[str, Any]:
        return await entry(running, "flows", "deployment", deployment)

    found = await eventually(flow, until=lambda flow: flow.get("runs_hour") == 3)
    assert found["queue"] == pytest.approx({"mean_s": 4.0, "p50_s": 4.0, "p90_s": 5.6, "p95_s": 5.8, "p99_s": 5.96})
    assert found["retries"] == {"hour": 2, "day": 2, "week": 2}
    runs = (await running.get(f"/v1/runs?deployment={deployment}")).json()["runs"]
    assert {run["run_id"]: run["attempts"] for run in runs} == {f"{dataset}-{n}": 1 + 2 * (n == 1) for n in range(3)}
    of_flow = next(f for f in (await running.get("/v1/flows?by=flow")).json()["flows"] if f["flow"] == found["flow"])
    assert of_flow["deployment"] is None
    assert of_flow["runs_hour"] >= 3
    summary = (await running.get("/v1/summary")).json()
    assert summary["retries"]["week"] >= 2
    assert summary["queue"]["p50_s"] is not None

    async def metrics() -> str:
        return (await running.get("/metrics")).text

    for line in (
        f'datalab_monitor_run_queue_quantile_seconds{{deployment="{deployment}",quantile="0.5"}} 4.0',
        f'datalab_monitor_run_retries{{deployment="{deployment}",window="day"}} 2.0',
    ):
        await eventually(metrics, until=lambda text, line=line: line in text)


async def test_alerts_are_counted(running: Monitor, taps: Taps, dataset: str) -> None:
    before = (await running.get("/v1/summary")).json()["alerts"]
    for n in range(3):
        await taps.publish(quality_failed(f"{dataset}-{n}"))
    await taps.publish(quality_passed(f"{dataset}-0"))
    await taps.until_alerts(2, dataset=f"{dataset}-0")
    for n in (1, 2):
        await taps.until_alerts(1, dataset=f"{dataset}-{n}")
    after = (await running.get("/v1/summary")).json()["alerts"]
    assert after["open"]["error"] - before["open"]["error"] == 2
    assert [after["fired"][w] - before["fired"][w] for w in ("hour", "day", "week")] == [3, 3, 3]
    page = (await running.get("/v1/alerts?rule=data-quality&page_size=1")).json()
    assert page["counts"]["firing"] >= 2
    assert page["counts"]["resolved"] >= 1
    assert (await running.get("/v1/alerts?rule=data-quality&status=firing")).json()["counts"]["resolved"] == 0

    async def metrics() -> str:
        return (await running.get("/metrics")).text

    fired = f'datalab_monitor_alerts_fired{{window="hour"}} {after["fired"]["hour"]:.1f}'
    await eventually(metrics, until=lambda text: fired in text)


async def test_an_event_from_the_far_future_is_buried_and_silences_nothing(
    running: Monitor, taps: Taps, dataset: str, kafka_bootstrap: str
) -> None:
    passed = quality_passed(dataset, time=datetime.now(UTC) + timedelta(days=400))
    [ref] = await taps.publish(passed)
    failed = quality_failed(dataset)
    await taps.publish(failed)
    [alert] = await taps.until_alerts(1, dataset=dataset)
    assert alert.causationid == failed.id
    letters = [
        dict(r.headers) async for r in read_records(kafka_bootstrap, [DEAD_LETTERS]) if r.key == dataset.encode()
    ]
    # Other monitors of this session bury the record too.
    assert {int(letter["dlq_offset"]) for letter in letters} == {ref.offset}
    assert letters[0]["dlq_reason"].startswith(f"time: {passed.time.isoformat()} is more than a day ahead of".encode())


async def test_many_measurements_do_not_hold_up_an_alert(running: Monitor, dataset: str, kafka_bootstrap: str) -> None:
    async with Publisher(kafka_bootstrap, "tests") as publisher:
        taps = Taps(kafka_bootstrap, publisher)
        await publisher.publish_many(measured(dataset, names.TOPIC_LAG, n, group="g") for n in range(500))
        await taps.publish(quality_failed(dataset))
        await taps.until_alerts(1, within_s=10, dataset=dataset)
