"""The steps of maintenance as Prefect tasks, with the lab's retries. Each may be repeated; the flow orders them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from prefect import get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows.config import FlowSettings
from flows.html_report import save
from flows.lake.datasets import Retention
from flows.lake.session import SparkConnection
from flows.lake.tables import Lake
from flows.runs import current_trace, task_options
from flows.upkeep import audit, backup, old_pages, optimise, purge, report, safety, usage_statistics
from flows.upkeep.announcements import events_of
from flows.upkeep.backup_store import BackupStore, stamp_of
from flows.upkeep.inventory import LakeTable, lake_folder, tables_of
from flows.upkeep.limits import Limits
from flows.upkeep.outcomes import Outcome
from flows.upkeep.summary import markdown_report

_TASK = task_options()


class Job:
    """What all steps of a run share. Not a dataclass: Prefect would walk through all of it for each task."""

    def __init__(self, settings: FlowSettings, limits: Limits, spark: SparkConnection) -> None:
        self.settings, self.limits, self.spark = settings, limits, spark
        self.lake = Lake(settings.lake_root, settings.datalab_home)
        self.store = BackupStore(settings.backups)
        self.trace, self.now, self.log = current_trace(), datetime.now(UTC), get_run_logger()
        self.without_spark: str | None = None  # why, once no Spark answered: the other steps need not wait for it, too

    @property
    def scratch(self) -> Path:
        return self.lake.work / "restore-check"

    @property
    def report_path(self) -> Path:
        return self.settings.datalab_home / "reports" / "maintenance" / f"{stamp_of(self.now)}.html"

    @property
    def usage_path(self) -> Path:
        return self.settings.datalab_home / "maintenance" / "usage.json"


@task(name="back-up", **_TASK)
def back_up(job: Job, table: LakeTable) -> backup.Backup:
    """Copy the newest version, restore it elsewhere and compare; only then old backups go."""
    keep, run_id = job.limits.keep_backups, job.trace.run_id
    made = backup.back_up(table, job.store, job.scratch, now=job.now, run_id=run_id, keep=keep)
    job.log.info("%s: version %d backed up to %s", table.full_name, made.manifest.version, made.path)
    return made


@task(name="plan-purge", **_TASK)
def plan_purge(job: Job, table: LakeTable, retention: Retention) -> purge.PurgePlan:
    """Which partitions are older than the retention allows."""
    with job.spark.session() as spark:
        return purge.plan_purge(spark, table, retention, job.now.date())


@task(name="admit-purge", **_TASK)
def admit_purge(job: Job, table: LakeTable, plan: purge.PurgePlan) -> bool:
    """True, or PurgeRefusedError with the numbers."""
    plan.check(job.limits.max_purge_share, force=job.limits.force_purge)
    if table.layer == "silver":
        with job.spark.session() as spark:
            purge.require_whole_groups(spark, table, plan)
    return True


@task(name="purge", **_TASK)
def run_purge(job: Job, table: LakeTable, plan: purge.PurgePlan) -> int:
    """Delete what was planned; returns the rows that are left."""
    with job.spark.session() as spark:
        return purge.purge(spark, table, plan)


@task(name="optimise", **_TASK)
def run_optimise(job: Job, table: LakeTable) -> optimise.Compaction:
    """Merge small files, where the log says that there are some."""
    if not usage_statistics.mergeable(table):
        return optimise.Compaction(0, 0)
    with job.spark.session() as spark:
        return optimise.optimise(spark, table)


@task(name="safety", **_TASK)
def require_safe(job: Job, table: LakeTable) -> bool:
    """True, or UnsafeError with the reasons."""
    safety.require_safe(table, lake_folder(job.lake.root), job.limits.vacuum_hours, job.now)
    return True


@task(name="preview-vacuum", **_TASK)
def preview_vacuum(job: Job, table: LakeTable) -> int:
    """How many files VACUUM would delete."""
    with job.spark.session() as spark:
        return optimise.vacuum_preview(spark, table, job.limits.vacuum_hours)


@task(name="vacuum", **_TASK)
def run_vacuum(job: Job, table: LakeTable) -> optimise.Cleaning:
    """Delete the files that no version of the last week needs."""
    with job.spark.session() as spark:
        return optimise.vacuum(spark, table, job.limits.vacuum_hours)


@task(name="audit", **_TASK)
def audit_table(job: Job, table: LakeTable) -> audit.Audit:
    """Hold Silver against the rules, or Gold against Silver."""
    with job.spark.session() as spark:
        if table.layer == "silver":
            return audit.audit_silver(spark, table)
        silver = next((t for t in tables_of(job.lake, table.dataset) if t.layer == "silver"), None)
        return audit.audit_gold(spark, table, silver)


@task(name="statistics", **_TASK)
def measure_usage(job: Job, table: LakeTable) -> usage_statistics.TableUsage:
    """Rows, files, bytes, versions."""
    return usage_statistics.usage_of(table, job.now)


@task(name="tidy-reports", **_TASK)
def tidy_reports(job: Job) -> old_pages.OldPages:
    """Which reports and lineage files are old; they are deleted, unless it is a dry run."""
    found = old_pages.find_old_pages(job.settings.datalab_home, job.now, job.limits.keep_report_days)
    if not job.limits.dry_run:
        old_pages.delete_pages(found)
    return found


@task(name="report", **_TASK)
def write_report(job: Job, outcome: Outcome) -> Path:
    """The HTML report, and both artifacts. Only a run that is no dry run sets the mark that growth is told from."""
    before = usage_statistics.remembered(job.usage_path)
    path = save(job.report_path, report.html_report(outcome, before, job.now))
    create_markdown_artifact(
        key="maintenance", markdown=markdown_report(outcome, before, path), description="Maintenance of the lake"
    )
    create_link_artifact(
        key="maintenance-report", link=path.as_uri(), link_text=str(path), description="Report of the maintenance run"
    )
    if not outcome.dry_run:
        usage_statistics.remember(job.usage_path, [table.usage for table in outcome.tables if table.usage])
    return path


@task(name="publish", **_TASK)
def publish(job: Job, outcome: Outcome) -> int:
    """Announce on Kafka, each event acknowledged; returns their number."""
    from datalab.bus.publisher import SyncPublisher

    events = events_of(job.trace, outcome)
    with SyncPublisher(job.settings.kafka_bootstrap_servers, "flows.maintenance") as publisher:
        for event in events:
            publisher.publish(event)
    return len(events)
