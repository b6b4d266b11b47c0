"""Medallion ETL: a file, or every new file of a directory, through Bronze, the quality gate, Silver and Gold.

Every step may be repeated: a run that was killed anywhere, and then runs again, leaves the tables of one good run.
This module only orders the steps, announces them and retries them; what they do is in `flows.lake`.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:  # loaded as a file: by Prefect, or from inside flows/
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows.config import FlowSettings
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
from flows.lake.announcements import TableUpdate
from flows.lake.books import Books
from flows.lake.bronze import Appended
from flows.lake.datasets import Dataset, choose_dataset, load_datasets
from flows.lake.definitions import FORMATS
from flows.lake.errors import BatchError, LakeError, ReportError
from flows.lake.hooks import end_spark_work
from flows.lake.job import Job
from flows.lake.judging import judge
from flows.lake.locks import dataset_lock
from flows.lake.quality import GateResult, Measured
from flows.lake.records import Records, of_ingestion
from flows.lake.report import quality_report
from flows.lake.report_page import RunReport
from flows.lake.session import SparkConnection
from flows.lake.staging import StagedFile
from flows.lake.tables import Lake
from flows.parallel import five_at_once, processar_em_paralelo
from flows.runs import current_trace, task_options
from flows.usage import HOOKS
from schemas.envelope import Event

_TASK = task_options()
_FILES_A_CHUNK = 10
_HOOKS = {**HOOKS, "on_crashed": [end_spark_work], "on_cancellation": [end_spark_work]}


@flow(name="medallion-etl", description=__doc__, retries=0, persist_result=False, task_runner=five_at_once(), **_HOOKS)
def medallion_etl_pipeline(
    source_path: str,
    enable_quality_checks: bool = True,
    min_rows_threshold: int = 1000,
    dataset: str | None = None,
) -> dict[str, Any]:
    """Load `source_path` (a path or file:// URI of a file or directory) and return tables, versions and counts.

    Raises LakeError with a plain message. A directory means its files that are not loaded yet.
    """
    settings, log = FlowSettings(), get_run_logger()
    path = sources.local_path(source_path)
    chosen = _dataset_of(settings, path, dataset)
    files = sources.source_files(path, chosen.source.suffixes)
    lake = Lake(settings.lake_root, settings.datalab_home)
    with ExitStack() as resources:
        lock = dataset_lock(lake.work / "locks", chosen.name, wait_s=settings.lock_wait_s, say=log.info)
        lease, trace = resources.enter_context(lock), current_trace()
        spark = SparkConnection(
            remote=settings.spark_remote,
            master=settings.spark_master_url,
            jars=settings.spark_jars,
            wait_s=settings.spark_wait_s,
            say=log.info,
            run_id=trace.run_id,
            lease=lease,
        )
        resources.callback(spark.close)
        job = Job(
            chosen,
            lake,
            spark,
            trace,
            kafka=settings.kafka_bootstrap_servers,
            with_rules=enable_quality_checks,
            min_rows=min_rows_threshold,
        )
        resources.callback(shutil.rmtree, job.staging, ignore_errors=True)
        if not enable_quality_checks:
            log.warning("quality checks are switched off: only what Silver cannot do without is checked")
        if path.is_dir():
            return _load_directory(job, path, files)
        return _load_file(job, path)


def _dataset_of(settings: FlowSettings, path: Path, name: str | None) -> Dataset:
    datasets = load_datasets(settings.datasets_file)
    files = sources.source_files(path, tuple(FORMATS))
    try:
        return choose_dataset(datasets, path, name=name)
    except LakeError:
        if name is not None:
            raise
        return choose_dataset(datasets, path, header=loading.fields_of(files[0]))


def _load_directory(job: Job, path: Path, files: list[Path]) -> dict[str, Any]:
    """Each new file in turn; one that cannot be loaded does not keep the others out."""
    done = find_settled(job)
    pending = sources.unsettled(files, processar_em_paralelo(identify_files, files, tamanho=_FILES_A_CHUNK), done)
    loaded, failed = [], []
    for file in pending:
        try:
            loaded.append(_load_file(job, file))
        except LakeError as error:
            if error.transient:
                raise
            failed.append(str(error))
    if failed:
        raise BatchError(f"{len(failed)} of {len(pending)} new files of {path} were not loaded: {' | '.join(failed)}")
    get_run_logger().info("%d new of %d files in %s", len(pending), len(files), path)
    return {
        "dataset": job.dataset.name,
        "source": path.as_uri(),
        "files": loaded,
        "files_skipped": len(files) - len(pending),
        "rows_in": sum(file["books"]["rows_in"] for file in loaded),
    }


def _load_file(job: Job, path: Path) -> dict[str, Any]:
    """One file from Bronze to Gold."""
    staged, appended = ingest_bronze(job, path)
    measured = check_quality(job, staged, appended)
    gate, bronze_version = measured.gate, appended.version
    report = job.report_path(staged)
    publish(job, [announcements.quality_checked(job.trace, job.dataset, job.table("bronze"), staged, gate, report)])
    if gate.refused_by:
        _conclude(job, RunReport(job.dataset, staged, gate, None, {}, {}, job.trace.run_id))
        gate.raise_if_refused(staged.uri)
    silver_version, books = update_silver(job, staged, appended, measured)
    refreshed = refresh_gold(job, staged)
    tables = {job.table("bronze").path: bronze_version, job.table("silver").path: silver_version}
    tables |= {job.table("gold", name).path: update.version for name, update in refreshed.items()}
    publish(job, _updates(job, staged, gate, books, (bronze_version, silver_version), refreshed))
    groups = {name: update.groups for name, update in refreshed.items()}
    page = _conclude(job, RunReport(job.dataset, staged, gate, books, tables, groups, job.trace.run_id))
    return {
        "dataset": job.dataset.name,
        "source": staged.uri,
        "sha256": staged.sha256,
        "ingest_id": staged.ingest_id,
        "tables": tables,
        "books": asdict(books),
        "quality": "passed" if gate.passed else "failed",
        "failed_rules": {rule.name: rule.failed_rows for rule in gate.rules if rule.failed_rows},
        "report": str(page),
    }


def _conclude(job: Job, run: RunReport) -> Path:
    """The report, and then the ledger."""
    page = write_report(job, run)
    finish(job, run, page)
    return page


def _updates(
    job: Job,
    staged: StagedFile,
    gate: GateResult,
    books: Books,
    versions: tuple[int, int],
    refreshed: dict[str, gold.GoldUpdate],
) -> list[Event]:
    updates = [
        TableUpdate("bronze", job.table("bronze"), versions[0], gate.rows, gate.rows),
        TableUpdate("silver", job.table("silver"), versions[1], gate.rows, gate.accepted, books),
        *(
            TableUpdate("gold", job.table("gold", name), update.version, gate.accepted, update.groups)
            for name, update in refreshed.items()
        ),
    ]
    return [announcements.dataset_updated(job.trace, job.dataset, staged, update) for update in updates]


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
        rows = silver.silver_rows(job.dataset, quality.accepted(job.dataset, judged, measured))
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


if __name__ == "__main__":
    medallion_etl_pipeline(source_path=sys.argv[1])
