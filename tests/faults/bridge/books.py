"""Counting, after a case: a run for each event and one only, in order per key, and each run's end told once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from datalab.bus.inspection import inspect_bus
from datalab.bus.reader import read_events
from schemas.envelope import Event
from tests.faults.bridge.parts import Parts
from tests.support.polling import eventually

_PAGE = 200
_PATIENCE_S = 300.0
_COMPLETED = "lab.run.completed.v1"


@dataclass(frozen=True)
class Books:
    """`events` were published (and `repeats` of them again). All that follows should be 0 but `runs`, one each, and
    `told`, the runs whose end is on lab.runs under one id; `told_again` are records that repeat such an id."""

    case: str
    events: int
    repeats: int
    runs: int
    lost: int
    duplicated: int
    out_of_order: int
    told: int
    told_under_two_ids: int
    told_again: int

    def to_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return asdict(self)

    def faults(self) -> list[str]:
        """What does not balance, in words."""
        wrong = [f"{name} {n}" for name in ("lost", "duplicated", "out_of_order", "told_under_two_ids")
                 if (n := getattr(self, name))]  # fmt: skip
        return wrong + ([f"told {self.told} of {self.events}"] if self.told != self.events else [])


async def until_settled(lab: Parts, topic: str, deployment: str, count: int) -> None:
    """Wait until the group has read all there is and at least so many runs exist."""

    async def left() -> tuple[int, int]:
        groups = [
            lag.lag for lag in (await inspect_bus(lab.kafka)).groups if (lag.group, lag.topic) == (lab.group, topic)
        ]
        runs = int(await lab.api("POST", "/flow_runs/count", _of(deployment)))
        return (groups[0] if groups else -1), max(0, count - runs)

    await eventually(left, until=lambda left: left == (0, 0), within_s=_PATIENCE_S)


async def complete(lab: Parts, deployment: str) -> None:
    """End every run, as a worker would, so that each has a final state to tell."""
    scheduled = _of(deployment)
    scheduled["flow_runs"] = {"state": {"type": {"any_": ["SCHEDULED"]}}}
    while await lab.api("POST", "/flow_runs/count", scheduled):
        found = await lab.api("POST", "/flow_runs/filter", scheduled | {"limit": 50})
        chosen = {"id": {"any_": [run["id"] for run in found]}}
        await lab.api(
            "POST", "/flow_runs/bulk_set_state", {"flow_runs": chosen, "state": {"type": "COMPLETED"}, "force": True}
        )


async def balance(lab: Parts, case: str, deployment: str, published: Sequence[Event], repeats: int) -> Books:
    """The books of a case whose runs are all ended; waits for their ends to be told."""
    runs = await runs_of(lab, deployment)
    of_event: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        of_event[run["idempotency_key"].rpartition(":")[2]].append(run)
    ids = {run["id"] for run in runs}

    async def told() -> dict[str, Counter[str]]:
        ends: dict[str, Counter[str]] = {}
        async for _, event in read_events(lab.kafka, ["lab.runs"]):
            if event.type == _COMPLETED and event.data["run_id"] in ids:
                ends.setdefault(event.data["run_id"], Counter())[event.id] += 1
        return ends

    ends = await eventually(told, until=lambda ends: len(ends) == len(ids), within_s=_PATIENCE_S)
    return Books(
        case=case,
        events=len(published),
        repeats=repeats,
        runs=len(runs),
        lost=sum(not of_event[event.id] for event in published),
        duplicated=sum(len(found) - 1 for found in of_event.values() if found),
        out_of_order=out_of_order(published, of_event),
        told=len(ends),
        told_under_two_ids=sum(len(by_id) - 1 for by_id in ends.values()),
        told_again=sum(sum(by_id.values()) - len(by_id) for by_id in ends.values()),
    )


def out_of_order(published: Sequence[Event], runs: dict[str, list[dict[str, Any]]]) -> int:
    """Events whose run is older than that of the event before it under the same key."""
    latest: dict[str, datetime] = {}
    wrong = 0
    for event in published:
        if not runs[event.id]:
            continue
        key, created = event.data["dataset"], min(datetime.fromisoformat(run["created"]) for run in runs[event.id])
        wrong += created < latest.get(key, created)
        latest[key] = max(created, latest.get(key, created))
    return wrong


async def runs_of(lab: Parts, deployment: str) -> list[dict[str, Any]]:
    """All runs of the deployment."""
    found: list[dict[str, Any]] = []
    while True:
        page = await lab.api(
            "POST", "/flow_runs/filter", _of(deployment) | {"limit": _PAGE, "offset": len(found), "sort": "ID_DESC"}
        )
        found += page
        if len(page) < _PAGE:
            return found


def _of(deployment: str) -> dict[str, Any]:
    return {"deployments": {"id": {"any_": [deployment]}}}
