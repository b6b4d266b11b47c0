"""The look for people: a Markdown page for Prefect, and a summary as the flow's answer. Text only, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from flows.upkeep.summary import size
from flows.watch.announcements import Told
from flows.watch.changes import Kind
from flows.watch.findings import Check
from flows.watch.look import Look
from flows.watch.services import Health
from flows.watch.tables import TableHealth
from flows.watch.topics import unread_s
from schemas.metrics import POOL_SILENCE, RUN_WAITING, SERVICE_CPU, SERVICE_MEMORY, UNPLANNED

_OK = "ok"
# A worker tells of itself each 10 to 30 seconds.
_HEARD_S = 60.0
_PLANNING = {RUN_WAITING: "a run is due", UNPLANNED: "nothing is planned", POOL_SILENCE: "workers are silent"}


def monitoring_report(look: Look, told: Told | None) -> str:
    """Markdown: what is wrong, then a table each of services, topics, lag and tables. `told` is None if Kafka took
    nothing."""
    findings = look.findings
    verdict = f"{len(findings)} findings" if len(findings) != 1 else "1 finding"
    lines = [f"# Monitoring: {verdict if findings else 'all is well'}", "", f"{look.at:%Y-%m-%d %H:%M:%S} UTC", ""]
    if told is None:
        lines += ["**Kafka took nothing: nobody was told, and no measurement was kept.**", ""]
    lines += _findings(findings, told)
    lines += _section("Services", _SERVICES, map(_service, look.services))
    lines += _topics(look)
    lines += _planning(look)
    lines += _lake(look)
    lines += _volumes(look)
    return "\n".join(lines) + "\n"


def summary(look: Look, told: Told) -> dict[str, Any]:
    """The flow's answer: JSON-compatible."""
    view = look.topics.view
    by_kind = {kind: [str(c.subject) for c in told.changes if c.kind is kind] for kind in Kind}
    return {
        "checked_at": look.at.isoformat(),
        "healthy": not look.findings,
        "findings": {str(check.subject): check.reason for check in look.findings},
        "degraded": by_kind[Kind.DEGRADED],
        "recovered": by_kind[Kind.RECOVERED],
        "services": _by_service(look),
        "topics": {name: topic.records for name, topic in view.topics.items()} if view else {},
        "lag": {f"{lag.topic}/{lag.group}": lag.lag for lag in view.groups} if view else {},
        "tables": {table.name: table.rows for table in look.lake.tables},
        "measurements": told.measurements,
    }


def _findings(findings: Sequence[Check], told: Told | None) -> list[str]:
    if not findings:
        return []
    since = told.since if told else {}
    rows = ((*check.subject, _time(since.get(check.subject)), check.reason or "") for check in findings)
    return _section("Findings", ("service", "check", "since", "reason"), rows)


_SERVICES = ("service", "check", "address", "ms:", "verdict", "CPU s:", "memory:")


def _service(health: Health) -> tuple[str, ...]:
    figures = {figure.name: figure.value for figure in health.figures}
    cpu, memory = figures.get(SERVICE_CPU), figures.get(SERVICE_MEMORY)
    return (
        *health.check.subject,
        f"`{health.address}`",
        f"{health.seconds * 1000:,.0f}",
        _verdict(health.check),
        "–" if cpu is None else f"{cpu:,.1f}",
        "–" if memory is None else size(memory),
    )


_TOPICS = ("topic", "partitions:", "records:", "last hour:", "size:", "end offsets:", "verdict")


def _topics(look: Look) -> list[str]:
    view = look.topics.view
    if view is None:
        return ["## Topics", "", *(f"{check.reason}" for check in look.topics.checks), ""]
    judged = {check.subject.check.removeprefix("topic "): check for check in look.topics.checks if check.reason}
    missing: list[tuple[str, ...]] = [
        (name, *["–"] * 5, _verdict(judged[name])) for name in judged if name not in view.topics
    ]
    rows: list[tuple[str, ...]] = [
        (
            name,
            str(topic.size),
            f"{topic.records:,}",
            f"{topic.recent:,}",
            "–" if topic.size_bytes is None else size(topic.size_bytes),
            ", ".join(f"{p.end:,}" for p in topic.partitions),
            _verdict(judged[name]) if name in judged else _OK,
        )
        for name, topic in view.topics.items()
    ]
    lags = ((lag.topic, lag.group, f"{lag.lag:,}", _age(unread_s(lag, look.at))) for lag in view.groups)
    return [
        *_section("Topics", _TOPICS, missing + rows),
        *_section("Lag", ("topic", "group", "records to read:", "oldest of them:"), lags),
    ]


def _planning(look: Look) -> list[str]:
    if look.planning is None:
        return []
    if look.planning.check.reason is not None:
        return ["## Runs and workers", "", look.planning.check.reason, ""]
    worst = {RUN_WAITING: 0.0, UNPLANNED: 0.0, POOL_SILENCE: _HEARD_S}
    rows = (
        (figure.of, _PLANNING[figure.name], "no run" if figure.name == UNPLANNED else _age(figure.value))
        for figure in look.planning.figures
        if figure.value > worst[figure.name]
    )
    return _section("Runs and workers", ("of", "what waits", "for"), rows)


def _volumes(look: Look) -> list[str]:
    if not look.volumes:
        return []
    rows = ((f.of, f.labels["observed"], f.labels["usual"], f"{f.value:,.1f}") for f in look.volumes)
    return _section("Rows of the last day", ("dataset", "rows:", "usual:", "times off:"), rows)


_TABLES = ("table", "version:", "age:", "rows:", "files:", "size:", "small files:", "log:", "columns", "verdict")


def _lake(look: Look) -> list[str]:
    if not look.lake.is_whole:
        reason = look.lake.unseen or (look.lake.root.reason if look.lake.root else "")
        return ["## Tables", "", f"{reason}", ""]
    return _section("Tables", _TABLES, (_table(table, look.at) for table in look.lake.tables))


def _table(table: TableHealth, now: datetime) -> tuple[str, ...]:
    if table.check.reason is not None:
        return (table.name, *["–"] * 8, _verdict(table.check))
    return (
        table.name,
        str(table.version),
        _age(table.age_s(now)),
        "–" if table.rows is None else f"{table.rows:,}",
        f"{table.files:,}",
        size(table.size_bytes),
        f"{table.small_files:,}",
        f"{table.log_versions:,}",
        (table.changes.columns or "as a day ago") if table.changes else "–",
        _OK,
    )


def _section(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A heading and a table; the name of a column of numbers ends with a colon."""
    cells = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    if not cells:
        return [f"## {title}", "", "none", ""]
    head = f"| {' | '.join(column.rstrip(':') for column in columns)} |"
    rule = f"|{'|'.join('---:' if column.endswith(':') else '---' for column in columns)}|"
    return [f"## {title}", "", head, rule, *cells, ""]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _verdict(check: Check) -> str:
    return _OK if check.reason is None else f"**fails**: {check.reason}"


def _time(since: datetime | None) -> str:
    return "–" if since is None else f"{since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _age(seconds: float | None) -> str:
    """Seconds in the unit that is read at a glance."""
    if seconds is None:
        return "–"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:,.0f} s"


def _by_service(look: Look) -> dict[str, str]:
    """Of a service with several checks, the first that fails."""
    found: dict[str, str] = {}
    for health in look.services:
        service, reason = health.check.subject.service, health.check.reason
        if found.get(service, _OK) == _OK:
            found[service] = reason or _OK
    return found
