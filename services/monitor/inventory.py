"""What the lab consists of, by the newest event about each: services, topics, tables; and the alerts over it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor import EpisodeRow
from datalab.store.tables.monitor_health import MeasurementRow, ServiceCheckRow
from schemas import metrics as names
from services.monitor.outbox import SEVERITIES
from services.monitor.statistics import DAY, HOUR, WEEK

_OF_SERVICE = (names.SERVICE_CPU, names.SERVICE_MEMORY)
_OF_TOPIC = {names.TOPIC_RECORDS: "records", names.TOPIC_SIZE: "size_bytes"}
_OF_TABLE = {
    names.TABLE_ROWS: "rows",
    names.TABLE_FILES: "files",
    names.TABLE_SIZE: "size_bytes",
    names.TABLE_AGE: "age_seconds",
}

_CENTURY_S = 3.2e9


async def services(session: AsyncSession) -> list[dict[str, Any]]:
    """Every service that an event ever told of, by name."""
    checks = defaultdict(list)
    for check in (await session.execute(select(ServiceCheckRow).order_by(ServiceCheckRow.check))).scalars():
        checks[check.service].append(check)
    samples = await _by_subject(session, _OF_SERVICE)
    return [_service(name, checks[name], samples.get(name, {})) for name in sorted({*checks, *samples})]


async def topics(session: AsyncSession) -> list[dict[str, Any]]:
    """Every topic that was measured, with the lag of each consumer group."""
    measured = MeasurementRow.name.in_((*_OF_TOPIC, names.TOPIC_LAG))
    query = select(MeasurementRow).where(measured).order_by(MeasurementRow.label)
    found: dict[str, dict[str, Any]] = {}
    for row in (await session.execute(query)).scalars():
        figures = dict.fromkeys(_OF_TOPIC.values())
        topic = found.setdefault(row.of, {"topic": row.of, **figures, "measured_at": row.measured_at, "groups": []})
        topic["measured_at"] = max(topic["measured_at"], row.measured_at)
        if row.name == names.TOPIC_LAG:
            topic["groups"].append({"group": row.label, "lag": row.value, "measured_at": row.measured_at})
        else:
            topic[_OF_TOPIC[row.name]] = row.value
    return [found[name] for name in sorted(found)]


async def datasets(session: AsyncSession) -> list[dict[str, Any]]:
    """Every table of the lake that was measured."""
    return [_dataset(of, rows) for of, rows in sorted((await _by_subject(session, _OF_TABLE)).items())]


async def open_alerts(session: AsyncSession) -> dict[str, int]:
    """Alerts firing now, by severity."""
    query = select(EpisodeRow.severity, func.count()).where(EpisodeRow.status == "firing")
    counts = {row[0]: row[1] for row in await session.execute(query.group_by(EpisodeRow.severity))}
    return {severity: counts.get(severity, 0) for severity in SEVERITIES}


async def alerts_fired(session: AsyncSession, now: datetime) -> dict[str, int]:
    """Alerts that began in the last hour, day and seven days."""
    windows: dict[str, timedelta] = {"hour": HOUR, "day": DAY, "week": WEEK}
    counts = [func.count().filter(EpisodeRow.starts_at > now - length).label(name) for name, length in windows.items()]
    row = (await session.execute(select(*counts).where(EpisodeRow.starts_at > now - WEEK))).one()
    return dict(row._mapping)


async def _by_subject(session: AsyncSession, wanted: Iterable[str]) -> dict[str, dict[str, MeasurementRow]]:
    query = select(MeasurementRow).where(MeasurementRow.name.in_(wanted))
    found: dict[str, dict[str, MeasurementRow]] = {}
    for row in (await session.execute(query)).scalars():
        found.setdefault(row.of, {})[row.name] = row
    return found


def _service(name: str, checks: list[ServiceCheckRow], samples: dict[str, MeasurementRow]) -> dict[str, Any]:
    failing = [check for check in checks if check.failing]
    cpu, memory = samples.get(names.SERVICE_CPU), samples.get(names.SERVICE_MEMORY)
    seen = [check.occurred_at for check in checks] + [sample.measured_at for sample in samples.values()]
    return {
        "service": name,
        "status": "degraded" if failing else "ok",
        "last_seen": max(seen),
        "cpu_seconds": cpu.value if cpu else None,
        "cpu_share": _share(cpu) if cpu else None,
        "memory_bytes": memory.value if memory else None,
        "failing": [{"check": check.check, "reason": check.reason, "since": check.since} for check in failing],
    }


def _share(cpu: MeasurementRow) -> float | None:
    """CPU seconds per second between the last two samples; None if the service began anew in between."""
    if cpu.previous_value is None or cpu.previous_at is None or cpu.value < cpu.previous_value:
        return None
    return (cpu.value - cpu.previous_value) / (cpu.measured_at - cpu.previous_at).total_seconds()


def _dataset(of: str, rows: dict[str, MeasurementRow]) -> dict[str, Any]:
    layer, _, table = of.partition("/")
    age = rows.get(names.TABLE_AGE)
    figures = {field: rows[name].value if name in rows else None for name, field in _OF_TABLE.items()}
    return {
        "dataset": of,
        "layer": layer if table else None,
        "table": table or of,
        **figures,
        # An age that cannot be is no reason to answer nothing about all the others.
        "updated_at": age.measured_at - timedelta(seconds=age.value) if age and 0 <= age.value < _CENTURY_S else None,
        "measured_at": max(row.measured_at for row in rows.values()),
    }
