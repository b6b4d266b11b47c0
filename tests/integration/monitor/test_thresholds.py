"""Limits over REST: they change what raises an alert, at once, everywhere and for good; what is wrong is named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from datalab.cli import alerts, thresholds
from schemas.runs import RunCompleted, RunFailed
from tests.integration.monitor.parts import Monitor, Taps, monitor
from tests.support.monitor_events import degraded, quality_failed, quality_passed, recovered, run_event
from tests.support.polling import eventually

DURATION = "/v1/thresholds/flow-duration/max_duration_s"
RATIO = "/v1/thresholds/data-quality/max_failed_ratio"
FAILURES = "/v1/thresholds/flow-failed/failures"
LASTING = "/v1/thresholds/resource-unavailable/for_s"
PROBLEM = "application/problem+json"


@pytest.fixture(autouse=True)
async def _defaults(running: Monitor) -> AsyncIterator[None]:
    await running.caught_up()
    yield
    for path in (DURATION, RATIO, FAILURES, LASTING):
        assert (await running.send("DELETE", path)).status_code == 200
    for rule in ("data-quality", "flow-duration"):
        await running.send("PUT", f"/v1/rules/{rule}", json={"enabled": True})


async def put(running: Monitor, path: str, **body: Any) -> dict[str, Any]:
    answer = await running.send("PUT", path, json=body)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


async def test_a_limit_is_changed_and_taken_back(running: Monitor) -> None:
    before = (await running.get(DURATION)).json()
    assert (before["value"], before["default"], before["unit"], before["enabled"]) == (3600, 3600, "s", True)
    monitoring = "monitoring/monitoring-5min"
    assert before["overrides"][monitoring] == before["default_overrides"][monitoring] == 300

    changed = await put(running, DURATION, value=1800, overrides={monitoring: 240}, enabled=False)
    assert (changed["value"], changed["overrides"], changed["enabled"]) == (1800, {monitoring: 240}, False)
    assert datetime.fromisoformat(changed["updated_at"]) > datetime.now(UTC) - timedelta(minutes=1)
    assert (await running.get(DURATION)).json() == changed
    again = await put(running, DURATION, value=900.5)
    assert (again["value"], again["overrides"], again["enabled"]) == (900.5, {monitoring: 240}, False)

    listed = (await running.get("/v1/thresholds")).json()
    assert [t for t in listed["thresholds"] if t["name"] == "max_duration_s"] == [again]
    assert monitoring in listed["known_deployments"]
    rules = {rule["rule"]: rule for rule in (await running.get("/v1/rules")).json()["rules"]}
    assert (rules["flow-duration"]["enabled"], rules["flow-failed"]["enabled"]) == (False, True)
    assert rules["flow-duration"]["thresholds"] == ["max_duration_s", "learned_factor"]

    unset = (await running.send("DELETE", DURATION)).json()
    assert (unset["value"], unset["overrides"]) == (3600, before["overrides"])


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        (DURATION, {"value": 0}, 422, "value: must be > 0 and <= 31536000"),
        (DURATION, {"value": -5}, 422, "value: must be > 0 and <= 31536000"),
        (DURATION, {"value": "60"}, 422, "body.value: Input should be a valid number"),
        (DURATION, {"value": True}, 422, "body.value: Input should be a valid number"),
        (DURATION, {"value": None}, 422, "value: must not be null"),
        (DURATION, {}, 422, "body: give value, overrides or enabled"),
        (DURATION, {"valeu": 1}, 422, "body.valeu: Extra inputs are not permitted"),
        (DURATION, {"enabled": "no"}, 422, "body.enabled: Input should be a valid boolean"),
        (
            DURATION,
            {"overrides": {"monitoring/monitoring-5min": 0}},
            422,
            "overrides.monitoring/monitoring-5min: must be",
        ),
        (DURATION, {"overrides": {"etl/dayly": 5}}, 422, "overrides.etl/dayly: no such deployment or flow; there are "),
        (RATIO, {"value": 1}, 422, "value: must be >= 0 and < 1"),
        (RATIO, {"overrides": {"monitoring/monitoring-5min": 0.1}}, 422, "overrides: data-quality.max_failed_ratio is"),
        (FAILURES, {"value": 1.5}, 422, "value: must be a whole number >= 1 and <= 1000"),
        (LASTING, {"value": 1e9}, 422, "value: must be >= 0 and <= 604800"),
        (
            "/v1/thresholds/flow-duration/max",
            {"value": 1},
            404,
            "no threshold flow-duration/max; there are flow-duration/",
        ),
        ("/v1/thresholds/flow/max_duration_s", {"value": 1}, 404, "no threshold flow/max_duration_s; there are"),
        ("/v1/rules/flow", {"enabled": True}, 404, "no rule flow; there are flow-failed, flow-duration"),
        ("/v1/rules/flow-failed", {"enabled": 1}, 422, "body.enabled: Input should be a valid boolean"),
    ],
)
async def test_what_is_wrong_is_named(
    running: Monitor, path: str, body: dict[str, Any], status: int, detail: str
) -> None:
    before = (await running.get("/v1/thresholds")).json()["thresholds"]
    answer = await running.send("PUT", path, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert detail in answer.json()["detail"]
    assert (await running.get("/v1/thresholds")).json()["thresholds"] == before


async def test_nan_and_broken_json_are_refused(running: Monitor) -> None:
    for content in ('{"value": NaN}', '{"value": 1e999}', '{"value"', "[]"):
        headers = {"content-type": "application/json"}
        answer = await running.send("PUT", DURATION, content=content, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM), content


async def test_an_unknown_override_lists_what_is_known(running: Monitor) -> None:
    answer = (await running.send("PUT", DURATION, json={"overrides": {"etl/dayly": 5}})).json()
    assert "monitoring/monitoring-5min" in answer["known"]
    assert answer["errors"][0]["field"] == "overrides.etl/dayly"


async def test_nobody_overwrites_a_change_that_he_has_not_seen(running: Monitor) -> None:
    seen = (await running.get(DURATION)).headers["etag"]
    first, second = await asyncio.gather(
        *(running.send("PUT", DURATION, json={"value": v}, headers={"If-Match": seen}) for v in (10, 20))
    )
    assert sorted([first.status_code, second.status_code]) == [200, 412]
    held = first if first.status_code == 200 else second
    assert (await running.get(DURATION)).json() == held.json()
    assert (await running.send("DELETE", DURATION, headers={"If-Match": seen})).status_code == 412
    fresh = held.headers["etag"]
    await running.send("PUT", "/v1/rules/flow-duration", json={"enabled": True})
    assert (await running.send("PUT", DURATION, json={"value": 5}, headers={"If-Match": fresh})).status_code == 412


async def test_a_limit_holds_on_every_instance_and_after_a_restart(
    running: Monitor, home: Path, kafka_bootstrap: str, database_url: str, group: str
) -> None:
    with monitor(home, kafka_bootstrap, database_url, group) as other:
        await other.ready()
        await put(running, RATIO, value=0.25)
        assert (await other.get(RATIO)).json()["value"] == 0.25
        other.kill()
    with monitor(home, kafka_bootstrap, database_url, group) as restarted:
        await restarted.ready()
        assert (await restarted.get(RATIO)).json()["value"] == 0.25
    await running.ready()


async def test_a_share_of_failed_rows_that_is_allowed_raises_nothing_and_ends_what_is_open(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    await put(running, RATIO, value=0.5)
    few, more, fewer = quality_failed(dataset), quality_failed(dataset, rows_failed=6), quality_failed(dataset)
    await taps.publish(few, more, fewer)
    firing, resolved = await taps.until_alerts(2, dataset=dataset)
    assert (firing.causationid, resolved.causationid) == (more.id, fewer.id)
    await put(running, RATIO, value=0.1)
    again = quality_failed(dataset)
    await taps.publish(again)
    assert [a.causationid for a in await taps.until_alerts(3, dataset=dataset)] == [more.id, fewer.id, again.id]


async def test_failures_in_a_row_are_counted_until_one_completes(running: Monitor, taps: Taps, dataset: str) -> None:
    await put(running, FAILURES, value=3)
    deployment = f"etl/{dataset}"
    ends = [RunFailed, RunFailed, RunCompleted, RunFailed, RunFailed, RunFailed, RunFailed, RunCompleted]
    events = [run_event(model, run=f"{dataset}-{n}", deployment=deployment) for n, model in enumerate(ends)]
    await taps.publish(*events)
    alerts_ = await taps.until_alerts(2, deployment=deployment)
    assert [alert.causationid for alert in alerts_] == [events[5].id, events[7].id]
    await put(running, FAILURES, overrides={deployment: 1})
    last = run_event(RunFailed, run=f"{dataset}-last", deployment=deployment)
    await taps.publish(last)
    assert (await taps.until_alerts(3, deployment=deployment))[-1].causationid == last.id


async def test_a_check_that_fails_for_long_enough_raises_without_another_event(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    await put(running, LASTING, value=3600)
    brief, long, lasting = f"{dataset}-brief", f"{dataset}-long", degraded(f"{dataset}-held")
    old = degraded(long, since=datetime.now(UTC) - timedelta(hours=2))
    await taps.publish(degraded(brief), recovered(brief), lasting, old)
    await taps.until_alerts(1, service=long)
    assert await taps.alerts(service=f"{dataset}-held") == []

    since = datetime.fromisoformat(lasting.data["since"])
    await put(running, LASTING, value=max(0.5, (datetime.now(UTC) - since).total_seconds() + 0.5))
    [firing] = await taps.until_alerts(1, service=f"{dataset}-held")
    assert firing.causationid == lasting.id
    await taps.publish(recovered(f"{dataset}-held"), recovered(long))
    assert len(await taps.until_alerts(2, service=f"{dataset}-held")) == 2
    assert await taps.alerts(service=brief) == []


async def test_a_rule_that_is_switched_off_raises_nothing_and_still_ends_what_is_open(
    running: Monitor, taps: Taps, group: str, dataset: str
) -> None:
    open_, other = f"{dataset}-open", f"{dataset}-other"
    await taps.publish(quality_failed(open_))
    await taps.until_alerts(1, dataset=open_)
    await running.send("PUT", "/v1/rules/data-quality", json={"enabled": False})
    failed = quality_failed(open_, rows_failed=4)
    await taps.publish(
        quality_failed(other), failed, quality_passed(open_), quality_failed(open_), quality_passed(open_)
    )
    assert len(await taps.until_alerts(2, dataset=open_)) == 2
    # The end of the first alert is told as soon as its batch is handled, and what follows may be in another.
    await taps.until_handled(group, "lab.quality")
    await running.send("PUT", "/v1/rules/data-quality", json={"enabled": True})
    raised = quality_failed(open_)
    await taps.publish(raised, quality_failed(other))
    assert [a.causationid for a in await taps.until_alerts(3, dataset=open_)][2] == raised.id
    await eventually(lambda: taps.alerts(dataset=other))
    assert len(await taps.alerts(dataset=other)) == 1


def datalab(running: Monitor, *words: str) -> Result:
    app = typer.Typer()
    alerts.register(app)
    thresholds.register(app)
    return CliRunner().invoke(app, words, env={"MONITOR_URL": running.url, "COLUMNS": "200"})


async def command(running: Monitor, *words: str) -> str:
    result = await asyncio.to_thread(datalab, running, *words)
    assert result.exit_code == 0, result.output
    return result.stdout


async def test_the_command_line_shows_and_changes_limits(running: Monitor, taps: Taps, dataset: str) -> None:
    set_ = ("thresholds", "set", "flow-duration", "max_duration_s")
    assert await command(running, *set_, "1800") == "flow-duration max_duration_s is 1800 s\n"
    one = ("--for", "monitoring/monitoring-5min")
    assert "for monitoring/monitoring-5min is 240 s" in await command(running, *set_, "240", *one)
    shown = json.loads(await command(running, "thresholds", "list", "--json"))["thresholds"]
    [duration] = [t for t in shown if t["name"] == "max_duration_s"]
    assert (duration["value"], duration["overrides"]["monitoring/monitoring-5min"]) == (1800, 240)
    assert duration["overrides"]["maintenance/maintenance-weekly"] == 7200, "the others stay"
    assert "flow-duration" in await command(running, "thresholds", "list")
    assert "is 300 s" in await command(running, "thresholds", "unset", *set_[2:], *one)
    assert "is 3600 s" in await command(running, "thresholds", "unset", *set_[2:])
    assert await command(running, "thresholds", "disable", "flow-duration") == "flow-duration is off\n"
    assert json.loads(await command(running, "thresholds", "enable", "flow-duration", "--json"))["enabled"] is True
    refused = await asyncio.to_thread(datalab, running, *set_, "0")
    assert str(refused.exception) == "value: must be > 0 and <= 31536000 (HTTP 422)"

    await taps.publish(quality_failed(dataset))
    await taps.until_alerts(1, dataset=dataset)
    assert f"Quality of {dataset}" in await command(running, "alerts", "list", "--status", "firing")
    found = json.loads(await command(running, "alerts", "list", "--rule", "data-quality", "--json"))
    assert found[0]["labels"] == {"dataset": dataset}
