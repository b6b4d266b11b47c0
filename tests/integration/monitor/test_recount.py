"""The monitor's figures, after it was killed in the middle, are those that a recount of the topic gives."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from datalab.bus.publisher import Publisher
from datalab.bus.reader import read_events
from schemas.envelope import Event
from schemas.runs import RunCancelled, RunCompleted, RunCrashed, RunFailed, RunStarted
from tests.integration.monitor.parts import Monitor, monitor
from tests.support.monitor_events import run_event
from tests.support.polling import eventually

_RUNS = 360
_ENDS = (RunCompleted, RunFailed, RunCompleted, RunCrashed, RunCompleted, RunCancelled, None)
# Minutes since a run ended; none near the end of an hour, a day or a week, so that a slow test counts the same.
_AGES = (2, 9, 31, 200, 900, 3000, 9000, 11_000)
_WINDOWS = {"runs_hour": 1, "runs_day": 24, "runs_week": 168}


async def test_figures_after_a_kill_are_those_of_a_recount_of_the_topic(
    home: Path, kafka_bootstrap: str, database_url: str, dataset: str
) -> None:
    group, events = f"monitor-{dataset}", _states(dataset)
    half = len(events) // 2
    async with Publisher(kafka_bootstrap, "tests") as publisher:
        with monitor(home, kafka_bootstrap, database_url, group) as first:
            await first.caught_up()
            await publisher.publish_many(events[:half])
            await eventually(lambda: _told(first, dataset))
            first.kill()
        # What was handled comes again, older states come after newer ones, and the other half comes for the first time.
        await publisher.publish_many([*events[half:], *reversed(events[: half // 2]), *events[half:]])
    with monitor(home, kafka_bootstrap, database_url, group) as second:
        await second.caught_up()
        told = await _told(second, dataset)
        histogram = (await second.get("/v1/runs/histogram?period=week")).json()["counts"]
    counted = _figures([event async for _, event in read_events(kafka_bootstrap, ["lab.runs"])], dataset)
    assert len(counted) == 6
    assert told == {name: pytest.approx(figures) for name, figures in counted.items()}
    for name, figures in counted.items():
        assert sum(c["runs"] for c in histogram if c["deployment"] == name) == figures["runs_week"]


def _states(dataset: str) -> list[Event]:
    """Each run starts; all but every seventh end."""
    now, events = datetime.now(UTC), list[Event]()
    for number in range(_RUNS):
        run = {"run": f"{dataset}-{number}", "flow": dataset, "deployment": f"{dataset}/{number % 6}"}
        took = 1.0 + number * 37 % 101
        ended = now - timedelta(minutes=_AGES[number // 6 % len(_AGES)])
        began = ended - timedelta(seconds=took)
        events.append(run_event(RunStarted, **run, time=began, start_time=began))
        if (end := _ENDS[number % len(_ENDS)]) is not None:
            events.append(run_event(end, **run, time=ended, start_time=began, end_time=ended, duration_s=took))
    return events


async def _told(running: Monitor, flow: str) -> dict[str, dict[str, Any]]:
    """What the monitor says of the flow's deployments, as `_figures` says it."""
    flows = [one for one in (await running.get("/v1/flows")).json()["flows"] if one["flow"] == flow]
    return {
        one["deployment"]: {name: one[name] for name in ("running_now", "success_rate", *_WINDOWS)} | one["duration"]
        for one in flows
    }


def _figures(events: Sequence[Event], flow: str) -> dict[str, dict[str, Any]]:
    """The same by plain counting: the newest state of each run, by the time at which it came into it."""
    newest: dict[str, dict[str, Any]] = {}
    for data in (event.data for event in events if event.data.get("flow") == flow and "state_type" in event.data):
        known = newest.get(data["run_id"])
        if known is None or _at(known) < _at(data):
            newest[data["run_id"]] = data
    runs = defaultdict[str, list[dict[str, Any]]](list)
    for data in newest.values():
        runs[data["deployment"]].append(data)
    return {deployment: _of(states, datetime.now(UTC)) for deployment, states in runs.items()}


def _of(states: Sequence[dict[str, Any]], now: datetime) -> dict[str, Any]:
    ended = [s for s in states if s["state_type"] != "RUNNING"]
    found = {name: [s for s in ended if now - _at(s) < timedelta(hours=hours)] for name, hours in _WINDOWS.items()}
    kinds = [s["state_type"] for s in found["runs_week"] if s["state_type"] != "CANCELLED"]
    seconds = sorted(s["duration_s"] for s in found["runs_week"])
    return {
        **{name: len(runs) for name, runs in found.items()},
        "running_now": len(states) - len(ended),
        "success_rate": kinds.count("COMPLETED") / len(kinds),
        "mean_s": statistics.fmean(seconds),
        **{f"p{percent}_s": _quantile(seconds, percent / 100) for percent in (50, 90, 95, 99)},
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = (len(ordered) - 1) * share
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def _at(state: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(state["occurred_at"])
