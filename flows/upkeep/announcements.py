"""The events of a maintenance run: what was measured, and which rules the audit found kept or broken.

Ids follow from the run, so that a repeated publication is recognised.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flows.trace import Trace
from flows.upkeep.audit import Audit
from flows.upkeep.outcomes import Outcome, TableOutcome
from schemas.envelope import Event
from schemas.metrics import (
    AUDIT_ROWS_FAILED,
    BACKUP_SIZE,
    TABLE_AGE,
    TABLE_FILES,
    TABLE_ROWS,
    TABLE_SIZE,
    TABLE_SMALL_FILES,
    TABLE_VERSIONS,
    MetricSampled,
)
from schemas.quality import QualityFailed, QualityPassed

SOURCE = "/flows/maintenance"


def events_of(trace: Trace, outcome: Outcome) -> list[Event]:
    """All events of the run, in the order in which they are to be published."""
    measured = [event for table in outcome.tables for event in _measurements(trace, table)]
    # The failed ones last: a dataset's alert must not be resolved by another of its tables.
    audits = sorted(outcome.audits, key=lambda audit: not audit.passed)
    return measured + [_audited(trace, audit) for audit in audits]


def _measurements(trace: Trace, table: TableOutcome) -> Iterator[Event]:
    for name, value, unit in _figures(table):
        data = MetricSampled(of=table.table, name=name, value=float(value), unit=unit, labels=_labels(trace))
        yield trace.event(SOURCE, data, trace.run_id or "", table.table, name)


def _figures(table: TableOutcome) -> Iterator[tuple[str, float, str]]:
    if usage := table.usage:
        yield TABLE_ROWS, usage.rows, "1"
        yield TABLE_FILES, usage.files, "1"
        yield TABLE_SIZE, usage.size_bytes, "By"
        yield TABLE_VERSIONS, usage.versions_kept, "1"
        yield TABLE_SMALL_FILES, usage.small_files, "1"
        if usage.last_write is not None:
            yield TABLE_AGE, max(0.0, (usage.measured_at - usage.last_write).total_seconds()), "s"
    if table.audit:
        yield AUDIT_ROWS_FAILED, table.audit.rows_failed, "1"
    if table.backup:
        yield BACKUP_SIZE, table.backup.manifest.size_bytes, "By"


def _audited(trace: Trace, audit: Audit) -> Event:
    model = QualityPassed if audit.passed else QualityFailed
    data = model(
        dataset=audit.dataset,
        table=audit.location,
        run_id=trace.run_id,
        source_uri=_uri(audit.location),
        rows_checked=audit.rows,
        rows_failed=audit.rows_failed,
        rules=list(audit.rules),
    )
    return trace.event(SOURCE, data, trace.run_id or "", audit.table)


def _labels(trace: Trace) -> dict[str, str]:
    return {"run_id": trace.run_id} if trace.run_id else {}


def _uri(location: str) -> str:
    return location if "://" in location else Path(location).as_uri()
