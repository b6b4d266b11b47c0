"""Figures of runs over time: counts, costs, waits, retries, and how they are filtered."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from schemas import metrics as names
from schemas.runs import RunCancelled, RunCompleted, RunFailed, RunScheduled, RunStarted
from tests.integration.monitor.parts import Monitor, Taps, entry
from tests.support.monitor_events import measured, run_event
from tests.support.polling import eventually


@pytest.fixture(autouse=True)
async def _ready(running: Monitor) -> None:
    await running.caught_up()


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

    await running.shows(
        f'datalab_monitor_runs{{deployment="{deployment}",window="hour"}} 2.0',
        f'datalab_monitor_running_runs{{deployment="{deployment}"}} 1.0',
        f'datalab_monitor_run_success_ratio{{deployment="{deployment}"}} 0.5',
        f'datalab_monitor_run_duration_mean_seconds{{deployment="{deployment}"}} 5.0',
        f'datalab_monitor_run_duration_quantile_seconds{{deployment="{deployment}",quantile="0.95"}} 5.0',
        f'datalab_monitor_run_cpu_seconds{{deployment="{deployment}",stat="max"}} 8.0',
        f'datalab_monitor_run_memory_peak_bytes{{deployment="{deployment}",stat="mean"}} 200.0',
    )


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

    await running.shows(
        f'datalab_monitor_run_queue_quantile_seconds{{deployment="{deployment}",quantile="0.5"}} 4.0',
        f'datalab_monitor_run_retries{{deployment="{deployment}",window="day"}} 2.0',
    )
