"""The events of an ingestion. Ids follow from the ingestion, not from the run, so that a repeat is recognised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flows.lake.books import Books
from flows.lake.datasets import Dataset
from flows.lake.errors import AnnouncementError
from flows.lake.quality import GateResult
from flows.lake.replay import Replayed
from flows.lake.staging import StagedFile
from flows.lake.tables import Table
from flows.trace import Trace
from schemas.datasets import DatasetUpdated
from schemas.envelope import Event
from schemas.quality import QualityFailed, QualityPassed

SOURCE = "/flows/medallion-etl"
REPLAY = "/flows/quarantine-replay"


@dataclass(frozen=True)
class TableUpdate:
    """What an ingestion did to one table; only Silver has the books."""

    layer: Literal["bronze", "silver", "gold"]
    table: Table
    version: int
    rows_in: int
    rows_written: int
    books: Books | None = None


def quality_checked(
    trace: Trace, dataset: Dataset, table: Table, staged: StagedFile, gate: GateResult, report: Path
) -> Event:
    """lab.quality.passed or failed. Other rules or limits over the same file make another event. `report` is where the
    run is going to put its page."""
    model = QualityPassed if gate.passed else QualityFailed
    data = model(
        dataset=dataset.name,
        table=table.path,
        run_id=trace.run_id,
        source_uri=staged.uri,
        rows_checked=gate.rows,
        rows_failed=gate.rows_failed,
        rules=list(gate.rules),
        report_uri=report.as_uri(),
    )
    limits = [rule.expression for rule in gate.rules]
    return trace.event(SOURCE, data, staged.ingest_id, table.path, dataset.version, *limits)


def quality_rechecked(trace: Trace, dataset: Dataset, held: Table, file: Replayed) -> Event:
    """lab.quality.passed or failed of what was in quarantine of a file, `held` being the quarantine."""
    gate = file.gate
    data = (QualityPassed if gate.passed else QualityFailed)(
        dataset=dataset.name,
        table=held.path,
        run_id=trace.run_id,
        source_uri=file.waiting.source_uri,
        rows_checked=gate.rows,
        rows_failed=gate.rows_failed,
        rules=list(gate.rules),
        replay=True,
    )
    return trace.event(REPLAY, data, file.waiting.ingest_id, held.path, dataset.version, file.waiting.cause)


def publish(bootstrap: str, events: list[Event], client_id: str = "flows.medallion-etl") -> None:
    """Publish each event and wait until it is acknowledged; raises AnnouncementError while Kafka is away."""
    from datalab.bus.publisher import SyncPublisher

    try:
        with SyncPublisher(bootstrap, client_id) as publisher:
            for event in events:
                publisher.publish(event)
    except (ConnectionError, TimeoutError) as error:
        raise AnnouncementError(
            f"{error}: what this run did is not announced yet. What it wrote stays as it is; "
            "start it again once Kafka answers, nothing is done twice"
        ) from error


def dataset_updated(trace: Trace, dataset: Dataset, staged: StagedFile, update: TableUpdate) -> Event:
    """lab.dataset.updated for one table."""
    books = update.books
    data = DatasetUpdated(
        dataset=dataset.name,
        layer=update.layer,
        table=update.table.path,
        version=update.version,
        run_id=trace.run_id,
        source_uri=staged.uri,
        rows_in=update.rows_in,
        rows_written=update.rows_written,
        rows_quarantined=books.quarantined if books else 0,
        rows_duplicate=books.duplicates if books else 0,
    )
    return trace.event(SOURCE, data, staged.ingest_id, update.table.path, dataset.version)


def replayed(trace: Trace, dataset: Dataset, updates: list[TableUpdate], file: Replayed) -> list[Event]:
    """lab.dataset.updated for the tables that records from quarantine went into."""
    return [
        trace.event(
            REPLAY,
            DatasetUpdated(
                dataset=dataset.name,
                layer=update.layer,
                table=update.table.path,
                version=update.version,
                run_id=trace.run_id,
                source_uri=file.waiting.source_uri,
                rows_in=update.rows_in,
                rows_written=update.rows_written,
                rows_quarantined=file.kept if update.layer == "silver" else 0,
                rows_duplicate=file.superseded if update.layer == "silver" else 0,
            ),
            file.waiting.ingest_id,
            update.table.path,
            dataset.version,
            file.waiting.cause,
        )
        for update in updates
    ]
