"""Medallion ETL: a file, or every new file of a directory, through Bronze, the quality gate, Silver and Gold.

Every step may be repeated: a run that was killed anywhere, and then runs again, leaves the tables of one good run.
This module only orders the steps and announces them; the steps are in `flows.medallion_tasks`.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:  # loaded as a file: by Prefect, or from inside flows/
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prefect import flow, get_run_logger

from flows.config import FlowSettings
from flows.lake import announcements, gold, loading, sources
from flows.lake.announcements import TableUpdate
from flows.lake.books import Books
from flows.lake.datasets import Dataset, choose_dataset, load_datasets
from flows.lake.definitions import FORMATS
from flows.lake.errors import BatchError, LakeError
from flows.lake.hooks import end_spark_work
from flows.lake.job import Job
from flows.lake.locks import dataset_lock
from flows.lake.quality import GateResult
from flows.lake.report_page import RunReport
from flows.lake.session import SparkConnection
from flows.lake.staging import StagedFile
from flows.lake.tables import Lake
from flows.medallion_tasks import (
    check_quality,
    find_settled,
    finish,
    identify_files,
    ingest_bronze,
    publish,
    refresh_gold,
    update_silver,
    write_report,
)
from flows.parallel import five_at_once, processar_em_paralelo
from flows.progress import Progress
from flows.runs import current_trace
from flows.usage import HOOKS
from schemas.envelope import Event

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
    bar = Progress(f"medallion-{job.dataset.name.replace('_', '-')}-progress", len(pending), f"files of {path.name}")
    loaded, failed = [], []
    for file in pending:
        try:
            loaded.append(_load_file(job, file))
        except LakeError as error:
            if error.transient:
                raise
            failed.append(str(error))
        bar.step(file.name)
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


if __name__ == "__main__":
    medallion_etl_pipeline(source_path=sys.argv[1])
