"""The tasks of the medallion ETL, each of which may be repeated: Prefect retries them, and `flows.lake` does the work.

Their order is in `flows.medallion_etl_flow`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows.html_report import save
from flows.lake import (
    announcements,
    bronze,
    gold,
    lineage,
    loading,
    quality,
    quarantine,
    report_data,
    report_page,
    results,
    silver,
    sources,
    table_rules,
)
from flows.lake import books as lake_books
from flows.lake.books import Books
from flows.lake.bronze import Appended
from flows.lake.errors import ReportError
from flows.lake.job import Job
from flows.lake.judging import judge
from flows.lake.quality import Measured
from flows.lake.records import Records, of_ingestion
from flows.lake.report import quality_report
from flows.lake.report_page import RunReport
from flows.lake.silver_types import kept_types
from flows.lake.staging import StagedFile
from flows.runs import task_options
from schemas.envelope import Event

_TASK = task_options()


@task(name="find-settled", **_TASK)
def find_settled(job: Job) -> set[str]:
    """The ingestions that have a line in the ledger."""
    with job.spark.session() as spark:
        return lake_books.settled(spark, job.table("ledger"))


@task(name="identify-files", **_TASK)
def identify_files(files: list[Path]) -> list[str | None]:
    """The ingestion that each file would be now."""
    return sources.ingestions(files)


@task(name="bronze", **_TASK)
def ingest_bronze(job: Job, path: Path) -> tuple[StagedFile, Appended]:
    """Stage the file and append it to Bronze, once, with what the gate finds of each record."""
    kept_types(job.table("silver"), job.dataset)  # what would be refused later is refused before anything is written
    staged = loading.stage(path, job.staging, job.dataset)
    with job.spark.session(staged.size_bytes) as spark:
        origin = bronze.Origin(job.trace.run_id, job.trace.event_id)
        return staged, bronze.append_file(
            spark, job.table("bronze"), job.dataset, staged, origin, with_rules=job.with_rules
        )


@task(name="quality", **_TASK)
def check_quality(job: Job, staged: StagedFile, appended: Appended) -> Measured:
    """Count what the gate found; nothing is written."""
    with job.spark.session(staged.size_bytes) as spark:
        judged, records = judged_rows(job, spark, staged, appended), readable_records(job, staged, appended)
        if not job.with_rules:
            return quality.measure(job.dataset, judged, with_rules=False, records=records)
        usual = table_rules.usual_rows(spark, job.table("ledger"), job.dataset, but=staged.ingest_id)
        rules = table_rules.table_checks(job.dataset, job.min_rows, usual)
        references = table_rules.broken_references(job.dataset, job.lake, judged)
        return quality.measure(
            job.dataset, judged, with_rules=True, table_rules=rules, references=references, records=records
        )


@task(name="silver", **_TASK)
def update_silver(job: Job, staged: StagedFile, appended: Appended, measured: Measured) -> tuple[int, Books]:
    """Quarantine what broke a rule, merge what did not, and check the books."""
    gate = measured.gate
    with job.spark.session(job.size_with(staged)) as spark:
        judged = judged_rows(job, spark, staged, appended)
        accepted = quality.accepted(job.dataset, judged, measured)
        rows = silver.silver_rows(job.dataset, accepted, kept_types(job.table("silver"), job.dataset))
        records = readable_records(job, staged, appended)
        held = quarantine.put(spark, job.table("quarantine"), job.dataset, judged, staged.ingest_id, gate, records)
        version = silver.merge_accepted(spark, job.table("silver"), job.dataset, rows, measured.key_ranges)
        books = lake_books.take_stock(
            spark, job.table("silver"), job.dataset, staged.ingest_id, gate, rows, quarantined=held
        )
    books.check()
    return version, books


@task(name="gold", **_TASK)
def refresh_gold(job: Job, staged: StagedFile) -> dict[str, gold.GoldUpdate]:
    """Recompute the groups that the file touched."""
    with job.spark.session(job.size_with(staged)) as spark:
        source = job.table("silver")
        return {
            name: gold.refresh(spark, job.table("gold", name), source, job.dataset, definition, staged.ingest_id)
            for name, definition in job.dataset.gold.items()
        }


@task(name="publish", **_TASK)
def publish(job: Job, events: list[Event]) -> None:
    """Announce on Kafka; each event is acknowledged before the run goes on."""
    announcements.publish(job.kafka, events)


@task(name="report", **_TASK)
def write_report(job: Job, run: RunReport) -> Path:
    """The page with charts and the lineage events, under names that follow from the ingestion."""
    with job.spark.session(job.table("ledger").size_bytes()) as spark:
        past = report_data.past_runs(spark, job.table("ledger"), but=run.staged.ingest_id)
        measures = [report_data.measure(spark, job.table("gold", c.table), c) for c in run.charts]
    page = report_page.render(run, [*past, run.as_past(datetime.now(UTC))], measures)
    path = job.report_path(run.staged)
    try:
        if run.tables:
            path = job.lineage_path(run.staged)
            said = lineage.events(job.dataset, run.staged, run.tables, run.run_id, datetime.now(UTC))
            save(path, lineage.as_lines(said))
            path = job.report_path(run.staged)
        return save(path, page)
    except OSError as error:
        raise ReportError(f"{path}: cannot be written: {error.strerror}") from error


@task(name="finish", **_TASK)
def finish(job: Job, run: RunReport, page: Path) -> None:
    """Write what the gate found, and last the ledger: until then a run over the directory takes the file again."""
    with job.spark.session(0) as spark:
        judged = results.Judged(run.staged.ingest_id, run.staged.uri, run.run_id)
        results.record(spark, job.table("quality"), job.dataset, judged, run.gate)
        lake_books.record(spark, job.table("ledger"), job.dataset, _entry(run))
    key = f"medallion-{job.dataset.name.replace('_', '-')}"
    create_markdown_artifact(
        key=key,
        markdown=quality_report(job.dataset, run.staged.uri, run.gate, run.books, run.tables, page),
        description=f"Books and quality of {job.dataset.name}",
    )
    create_link_artifact(
        key=f"{key}-report", link=page.as_uri(), link_text=page.name, description=f"Report of {run.staged.uri}"
    )


def _entry(run: RunReport) -> lake_books.Entry:
    gate, staged = run.gate, run.staged
    return lake_books.Entry(
        staged.ingest_id,
        staged.uri,
        staged.sha256,
        run.run_id,
        lake_books.COMPLETE if run.books else lake_books.REFUSED,
        gate.rules_applied,
        Books(gate.rows, gate.accepted, gate.quarantined, gate.dropped, gate.duplicates),
    )


def judged_rows(job: Job, spark: Any, staged: StagedFile, appended: Appended) -> Any:
    """The file's records in Bronze as typed rows with their verdicts. Lazy."""
    records = bronze.ingested(spark, job.table("bronze"), staged.ingest_id)
    return judge(job.dataset, records, with_rules=job.with_rules, judged=appended.judged)


def readable_records(job: Job, staged: StagedFile, appended: Appended) -> Records | None:
    """The file's records in Bronze for readers other than Spark, if they bear the verdict of these rules."""
    return of_ingestion(job.table("bronze"), staged.ingest_id) if appended.judged else None
