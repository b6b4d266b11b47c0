"""Maintenance: a verified backup, and only then purge, OPTIMIZE and VACUUM; an audit, statistics and one report.

What fails for one table keeps that table from being changed; the others go on, and the run fails at its end with all
reasons. This module only orders the steps; they are tasks of `flows.upkeep.tasks`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

if __package__ in {None, ""}:  # loaded as a file: by Prefect, or from inside flows/
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prefect import flow, get_run_logger

from flows.config import FlowSettings
from flows.errors import FlowError
from flows.lake.datasets import load_datasets
from flows.lake.errors import LakeBusyError, SparkUnavailableError
from flows.lake.locks import dataset_lock
from flows.lake.session import SparkConnection
from flows.upkeep import tasks
from flows.upkeep.inventory import LakeTable, chosen_tables, free_bytes, lake_folder, unknown_tables
from flows.upkeep.limits import Limits
from flows.upkeep.outcomes import Outcome, TableOutcome
from flows.upkeep.tasks import Job
from flows.usage import HOOKS

T = TypeVar("T")


@flow(name="maintenance", description=__doc__, retries=0, persist_result=False, **HOOKS)
def maintenance_pipeline(
    dry_run: bool = False,
    tables: list[str] | None = None,
    keep_backups: int = 4,
    vacuum_hours: int = 168,
    max_purge_share: float = 0.5,
    force_purge: bool = False,
    keep_report_days: int = 365,
) -> dict[str, Any]:
    """Look after all tables, or after `tables` (names of datasets, or LAYER/NAME); returns what was done.

    With `dry_run` nothing is written but the report of what would be done. `force_purge` lets a purge take more than
    `max_purge_share` of a table's rows. Reports and lineage of runs more than `keep_report_days` ago go with a run over
    all tables. Raises MaintenanceError at the end if a step of any table failed.
    """
    limits = Limits(dry_run, keep_backups, vacuum_hours, max_purge_share, force_purge, keep_report_days)
    limits.check()
    settings, log = FlowSettings(), get_run_logger()
    lake_folder(settings.lake_root)
    datasets = load_datasets(settings.datasets_file)
    outcome = Outcome(dry_run)
    with ExitStack() as resources:
        spark = SparkConnection(
            remote=settings.spark_remote,
            master=settings.spark_master_url,
            jars=settings.spark_jars,
            wait_s=settings.spark_wait_s,
            say=log.info,
        )
        resources.callback(spark.close)
        job = Job(settings, limits, spark)
        for name, found in chosen_tables(job.lake, datasets, tables).items():
            outcome.tables += _maintain_dataset(job, name, found)
        outcome.free_bytes = free_bytes(settings.lake_root)
        outcome.unknown_tables = unknown_tables(datasets.values(), job.lake)
        if tables is None:
            outcome.old_pages = _attempt(job, outcome.problems, "old reports", lambda: tasks.tidy_reports(job))
        report = _conclude(job, outcome)
    outcome.raise_if_incomplete()
    return {**outcome.summary(), "report": str(report)}


def _maintain_dataset(job: Job, dataset: str, found: list[LakeTable]) -> list[TableOutcome]:
    """All steps for the dataset's tables, while no ETL run writes them."""
    outcomes = [TableOutcome(table.full_name, table.dataset.critical) for table in found]
    pairs = list(zip(found, outcomes, strict=True))
    try:
        with dataset_lock(
            job.lake.work / "locks", dataset, wait_s=job.settings.lock_wait_s, say=lambda line: job.log.info("%s", line)
        ):
            for table, outcome in pairs:
                _maintain_table(job, table, outcome)
            for table, outcome in pairs:
                _look_at_table(job, table, outcome)
    except LakeBusyError as error:
        for outcome in outcomes:
            outcome.problems["lock"] = str(error)
    return outcomes


def _maintain_table(job: Job, table: LakeTable, outcome: TableOutcome) -> None:
    """Backup, purge, OPTIMIZE, VACUUM: where something could be lost, nothing without a verified backup."""
    if table.dataset.critical:
        _back_up(job, table, outcome, "critical")
    admitted = _plan_purge(job, table, outcome)
    if job.limits.dry_run or not table.dataset.critical:  # for the others there is a backup, whatever VACUUM deletes
        outcome.doomed = _with_spark(job, outcome, "vacuum", lambda: tasks.preview_vacuum(job, table))
    if not table.dataset.critical and (admitted or outcome.doomed):
        _back_up(job, table, outcome, "before deleting")
    if job.limits.dry_run or "backup" in outcome.problems:
        return
    if not _attempt(job, outcome.problems, "safety", lambda: tasks.require_safe(job, table)):
        return
    if admitted and (plan := outcome.purge):
        outcome.purged = _with_spark(job, outcome, "purge", lambda: tasks.run_purge(job, table, plan)) is not None
        if not outcome.purged:
            return
    outcome.compaction = _with_spark(job, outcome, "optimise", lambda: tasks.run_optimise(job, table))
    if outcome.backup:
        outcome.cleaning = _with_spark(job, outcome, "vacuum", lambda: tasks.run_vacuum(job, table))


def _back_up(job: Job, table: LakeTable, outcome: TableOutcome, reason: str) -> None:
    outcome.backup_due = reason
    if not job.limits.dry_run:
        outcome.backup = _attempt(job, outcome.problems, "backup", lambda: tasks.back_up(job, table))


def _plan_purge(job: Job, table: LakeTable, outcome: TableOutcome) -> bool:
    """Plan the purge; whether there is something to delete, and it may be deleted."""
    retention = table.retention
    if retention is None:
        return False
    plan = _with_spark(job, outcome, "purge", lambda: tasks.plan_purge(job, table, retention))
    outcome.purge = plan
    if plan is None or not plan.partitions:
        return False
    return bool(_with_spark(job, outcome, "purge", lambda: tasks.admit_purge(job, table, plan)))


def _look_at_table(job: Job, table: LakeTable, outcome: TableOutcome) -> None:
    """Audit and statistics, as the table is after its upkeep."""
    if table.layer in {"silver", "gold"}:
        outcome.audit = _with_spark(job, outcome, "audit", lambda: tasks.audit_table(job, table))
    outcome.usage = _attempt(job, outcome.problems, "statistics", lambda: tasks.measure_usage(job, table))


def _conclude(job: Job, outcome: Outcome) -> Path | None:
    """Report first, so that it is there whatever Kafka says."""
    if not outcome.tables:
        job.log.warning("there are no tables to look after yet")
    report = _attempt(job, outcome.problems, "report", lambda: tasks.write_report(job, outcome))
    if not job.limits.dry_run:
        _attempt(job, outcome.problems, "publish", lambda: tasks.publish(job, outcome))
    return report


def _with_spark(job: Job, outcome: TableOutcome, step: str, do: Callable[[], T]) -> T | None:
    """As `_attempt`, but not tried any more once no Spark answered: each try waits for minutes."""
    if job.without_spark is not None:
        outcome.problems.setdefault(step, job.without_spark)
        return None
    return _attempt(job, outcome.problems, step, do)


def _attempt(job: Job, problems: dict[str, str], step: str, do: Callable[[], T]) -> T | None:
    """The step's result; None after noting why there is none. A problem of one table must not end the run."""
    try:
        return do()
    except Exception as error:
        said = (str(error).strip() or "no message").splitlines()[0]
        reason = said if isinstance(error, FlowError) else f"{type(error).__name__}: {said}"
        problems[step] = reason
        job.log.warning("%s was not done: %s", step, reason)
        if isinstance(error, SparkUnavailableError):
            job.without_spark = reason
        return None


if __name__ == "__main__":
    maintenance_pipeline(dry_run="--dry-run" in sys.argv[1:])
