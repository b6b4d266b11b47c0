"""Figures of flows are exact, and take as long as the last seven days are, however long the history is."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.engine import Sessions
from datalab.store.tables.monitor import RunRow
from datalab.store.tables.monitor_health import MeasurementRow
from schemas.metrics import RUN_CPU
from services.monitor import statistics
from services.monitor.limit_store import known_names
from services.monitor.rules import AlertRules

NOW = datetime.now(UTC)
OLD, RECENT = 20_000, 1_200
ENDS = ("COMPLETED", "COMPLETED", "FAILED", "CRASHED", "CANCELLED")
Key = tuple[str, str | None]
# Names that sort between others, and runs without a deployment beside those of one.
PLACES: tuple[Key, ...] = (
    ("a", None), ("a-b", "a-b/daily"), ("etl", "etl/daily"), ("etl", "etl/hourly"), ("etl", None), ("ETL", "ETL/daily"),
    ("training", "training/weekly"), ("über", "über/täglich"), ("zz", None),
)  # fmt: skip
# Of no run in the last week.
GONE: Key = ("gone", "gone/daily")


class Run(NamedTuple):
    key: Key
    run_id: str
    state: str
    at: datetime
    took: float | None
    cpu: float | None


@pytest.fixture
async def runs(sessions: Sessions) -> list[Run]:
    """Many runs of before, and some of the last seven days."""
    chance, found = random.Random(5), list[Run]()
    for number in range(OLD + RECENT):
        days = chance.uniform(7.1, 89) if number < OLD else chance.uniform(0, 6.9)
        key = chance.choice([*PLACES, GONE] if number < OLD else PLACES)
        state = chance.choice(ENDS if number < OLD else (*ENDS, "RUNNING"))
        took = None if state == "RUNNING" else chance.uniform(1, 100)
        cpu = None if number % 3 else chance.uniform(0, 9)
        found.append(Run(key, f"run-{number}", state, NOW - timedelta(days=days), took, cpu))
    found.sort(key=lambda run: run.at)  # as they are stored
    async with sessions.begin() as session:
        await session.execute(insert(RunRow), [row(run) for run in found])
        await session.execute(insert(MeasurementRow), [sample(run) for run in found if run.cpu is not None])
        await session.execute(text("ANALYZE monitor_runs, monitor_measurements"))
    return found


async def test_figures_are_those_of_a_recount_and_old_runs_are_not_read(
    sessions: Sessions, runs: Sequence[Run]
) -> None:
    async with sessions() as session:
        before = await rows_read(session)
        told = {(flow["flow"], flow["deployment"]): flow for flow in await statistics.flows(session, NOW)}
        read = await rows_read(session) - before
        by_flow = await statistics.flows(session, NOW, "flow")
        known = await known_names(session, AlertRules(rules=()))
    assert set(told) == {*PLACES, GONE}
    for key, of_key in by_key(runs).items():
        assert figures(told[key]) == pytest.approx(recount(of_key))
    newest: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: run.at):
        newest[run.key[0]] = run
    assert {flow["flow"]: flow["last_run_id"] for flow in by_flow} == {name: run.run_id for name, run in newest.items()}
    assert known == (sorted({key[1] for key in told if key[1]}), sorted(newest))
    # Each run of the week, its measurement and the steps from one deployment to the next.
    assert read < 6 * RECENT < OLD / 2


def by_key(runs: Sequence[Run]) -> dict[Key, list[Run]]:
    found: dict[Key, list[Run]] = defaultdict(list)
    for run in runs:
        found[run.key].append(run)
    return found


def recount(runs: Sequence[Run]) -> dict[str, Any]:
    """The same from the runs themselves."""
    week = [run for run in runs if run.took is not None and run.at > NOW - timedelta(days=7)]
    judged = [run.state for run in week if run.state != "CANCELLED"]
    took = sorted(run.took for run in week if run.took is not None)
    return {
        "last_run_id": max(runs, key=lambda run: run.at).run_id,
        "running_now": sum(run.state == "RUNNING" for run in runs),
        "runs_day": sum(run.at > NOW - timedelta(days=1) for run in week),
        "runs_week": len(week),
        "success_rate": judged.count("COMPLETED") / len(judged) if judged else None,
        "mean_s": sum(took) / len(took) if took else None,
        "p95_s": quantile(took, 0.95) if took else None,
        "cpu_max_s": max((run.cpu for run in week if run.cpu is not None), default=None),
    }


def figures(flow: dict[str, Any]) -> dict[str, Any]:
    own = {name: flow[name] for name in ("last_run_id", "running_now", "runs_day", "runs_week", "success_rate")}
    duration = flow["duration"]
    return {**own, "mean_s": duration["mean_s"], "p95_s": duration["p95_s"], "cpu_max_s": flow["cpu"]["max_s"]}


def quantile(values: Sequence[float], share: float) -> float:
    """Between the two nearest, in proportion."""
    place = share * (len(values) - 1)
    below, above = values[math.floor(place)], values[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))


def row(run: Run) -> dict[str, Any]:
    flow, deployment = run.key
    return {
        "run_id": run.run_id, "run_name": run.run_id, "flow": flow, "deployment": deployment, "state_type": run.state,
        "state_name": run.state.title(), "occurred_at": run.at, "duration_s": run.took,
        "running_since": run.at if run.state == "RUNNING" else None,
    }  # fmt: skip


def sample(run: Run) -> dict[str, Any]:
    return {"name": RUN_CPU, "label": run.run_id, "of": run.key[0], "value": run.cpu, "measured_at": run.at}


async def rows_read(session: AsyncSession) -> int:
    """Rows of runs and their measurements that this connection has read, from the table or by an index."""
    await session.commit()
    await session.execute(text("SELECT pg_stat_force_next_flush()"))
    await session.commit()
    query = (
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables "
        "WHERE relname IN ('monitor_runs', 'monitor_measurements')"
    )
    return int((await session.execute(text(query))).scalar_one())
