"""What is old is deleted; what is open, held back, under way or still to be published is not, however old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from datalab.runtime.clock import SystemClock
from datalab.store.engine import Sessions
from datalab.store.tables.monitor import ConditionRow, EpisodeRow, OverrunRow, RunRow
from datalab.store.tables.monitor_health import MeasurementRow
from schemas.metrics import RUN_CPU, SERVICE_CPU
from services.monitor.pruning import Pruning

NOW = datetime.now(UTC)
OLD, NEW = NOW - timedelta(days=100), NOW - timedelta(days=10)


async def test_only_what_is_over_and_old_is_deleted(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        session.add_all(
            [
                *(condition("over", OLD), condition("new", NEW), condition("firing", OLD)),
                condition("held", OLD, held_event={"id": "e"}),
                *(episode("over", OLD), episode("new", NEW), episode("unpublished", OLD, resolved_published=False)),
                episode("firing", OLD, status="firing", ends_at=None, resolved_published=False),
                *(run("over", OLD), run("new", NEW), run("running", OLD, state_type="RUNNING")),
                *(overrun("over", OLD), overrun("running", OLD), overrun("unpublished", OLD, published=False)),
                *(sample(RUN_CPU, "over", OLD), sample(RUN_CPU, "new", NEW), sample(SERVICE_CPU, "", OLD)),
            ]
        )
    pruning = Pruning(sessions, SystemClock(), keep_days=90)
    await pruning.prune()
    await pruning.prune()
    assert await left(sessions, ConditionRow.fingerprint) == {"new", "firing", "held"}
    assert await left(sessions, EpisodeRow.episode) == {"new", "firing", "unpublished"}
    assert await left(sessions, RunRow.run_id) == {"new", "running"}
    assert await left(sessions, OverrunRow.run_id) == {"running", "unpublished"}
    assert await left(sessions, MeasurementRow.label) == {"new", ""}


def condition(name: str, at: datetime, **more: Any) -> ConditionRow:
    return ConditionRow(fingerprint=name, rule="r", last_bad_at=at, last_bad_event="e", last_good_at=at, **more)


def episode(name: str, at: datetime, **more: Any) -> EpisodeRow:
    fields = {"status": "resolved", "ends_at": at, "resolved_event": {}, "resolved_published": True, **more}
    return EpisodeRow(
        episode=name, fingerprint=name, rule="r", severity="error", summary="", description="", labels={},
        annotations={}, starts_at=at, firing_event={}, firing_published=True, updated_at=at, **fields,
    )  # fmt: skip


def run(name: str, at: datetime, *, state_type: str = "COMPLETED") -> RunRow:
    return RunRow(
        run_id=name, run_name=name, flow="etl", state_type=state_type, state_name=state_type.title(), occurred_at=at
    )


def overrun(name: str, at: datetime, *, published: bool = True) -> OverrunRow:
    return OverrunRow(run_id=name, running_since=at, limit_s=1.0, event={}, published=published, created_at=at)


def sample(name: str, label: str, at: datetime) -> MeasurementRow:
    return MeasurementRow(name=name, label=label, of="etl", value=1.0, measured_at=at)


async def left(sessions: Sessions, column: Any) -> set[str]:
    async with sessions() as session:
        return set((await session.execute(select(column))).scalars())
