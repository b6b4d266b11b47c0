"""Quarantine replay: records in quarantine are judged again by the rules of today, and what passes is merged.

For after a fix: of a rule that was wrong, of an alias or an expression that was missing. It waits for the dataset, may
be repeated after any end, and a file whose books do not balance stays as it was.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:  # loaded as a file: by Prefect, or from inside flows/
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from flows.config import FlowSettings
from flows.lake import announcements, books, gold, replay, results
from flows.lake.announcements import TableUpdate
from flows.lake.datasets import Dataset, load_datasets, named_dataset
from flows.lake.errors import BatchError, LakeError
from flows.lake.hooks import end_spark_work
from flows.lake.job import Job
from flows.lake.locks import dataset_lock
from flows.lake.replay import Replayed, Waiting
from flows.lake.session import SparkConnection
from flows.lake.tables import Lake
from flows.runs import current_trace, task_options
from flows.usage import HOOKS

_TASK = task_options()
_HOOKS = {**HOOKS, "on_crashed": [end_spark_work], "on_cancellation": [end_spark_work]}


@flow(name="quarantine-replay", description=__doc__, retries=0, persist_result=False, **_HOOKS)
def quarantine_replay(dataset: str, source_uri: str | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Judge what is in quarantine of a dataset, or of one of its files, again. `dry_run`: only say what would pass.

    Raises LakeError for an unknown dataset, and at the end if a file could not be replayed.
    """
    settings, log = FlowSettings(), get_run_logger()
    chosen = named_dataset(load_datasets(settings.datasets_file), dataset)
    lake = Lake(settings.lake_root, settings.datalab_home)
    done, failed = list[Replayed](), list[str]()
    with ExitStack() as resources:
        lock = dataset_lock(lake.work / "locks", dataset, wait_s=settings.lock_wait_s, say=log.info)
        job = _job(settings, lake, chosen, resources.enter_context(lock))
        resources.callback(job.spark.close)
        files = find_waiting(job, source_uri)
        for number, file in enumerate(files, start=1):
            log.info("file %d of %d: %d records of %s", number, len(files), file.rows, file.source_uri)
            try:
                done.append(look_again(job, file) if dry_run else replay_file(job, file))
            except LakeError as error:
                if error.transient:
                    raise
                failed.append(str(error))
    summary = _summary(dataset, source_uri, done, dry_run=dry_run)
    log.info(summary["statement"])
    _conclude(dataset, summary)
    if failed:
        raise BatchError(f"{len(failed)} of {len(files)} files were not replayed: {' | '.join(failed)}")
    return summary


def _job(settings: FlowSettings, lake: Lake, dataset: Dataset, lease: Any) -> Job:
    trace = current_trace()
    spark = SparkConnection(
        remote=settings.spark_remote,
        master=settings.spark_master_url,
        jars=settings.spark_jars,
        wait_s=settings.spark_wait_s,
        say=get_run_logger().info,
        run_id=trace.run_id,
        lease=lease,
    )
    return Job(dataset, lake, spark, trace, kafka=settings.kafka_bootstrap_servers, with_rules=True, min_rows=0)


@task(name="find-waiting", **_TASK)
def find_waiting(job: Job, source_uri: str | None) -> list[Waiting]:
    """The files that have records in quarantine."""
    with job.spark.session(job.table("quarantine").size_bytes()) as spark:
        return replay.waiting(spark, job.table("quarantine"), source_uri)


@task(name="look-again", **_TASK)
def look_again(job: Job, file: Waiting) -> Replayed:
    """Only judge: what would become of the records, as far as their file alone decides it."""
    with job.spark.session() as spark:
        _, measured = replay.judge_again(spark, job.table("bronze"), job.table("quarantine"), job.dataset, file)
    gate = measured.gate
    gate.raise_if_refused(file.source_uri)
    return Replayed(file, gate.accepted, gate.quarantined, gate.dropped, gate.duplicates, gate)


@task(name="replay-file", **_TASK)
def replay_file(job: Job, file: Waiting) -> Replayed:
    """Silver, Gold, events, the quality table, ledger, and only then the quarantine: until that is done, the next run
    does all of it again, which changes nothing."""
    held = job.table("quarantine")
    with job.spark.session() as spark:
        judged, measured = replay.judge_again(spark, job.table("bronze"), held, job.dataset, file)
        measured.gate.raise_if_refused(file.source_uri)
        replayed = replay.merge_passed(spark, job.table("silver"), job.dataset, judged, measured, file)
        events = [announcements.quality_rechecked(job.trace, job.dataset, held, replayed)]
        if replayed.merged:
            updates = _refresh(job, spark, replayed)
            events += announcements.replayed(job.trace, job.dataset, updates, replayed)
        announcements.publish(job.kafka, events, "flows.quarantine-replay")
        judged_now = results.Judged(file.ingest_id, file.source_uri, job.trace.run_id, file.cause)
        results.record(spark, job.table("quality"), job.dataset, judged_now, replayed.gate)
        if replayed.kept < file.rows:
            _enter(job, spark, replayed)
        replay.keep_failing(spark, held, job.dataset, judged, replayed)
    return replayed


def _refresh(job: Job, spark: Any, replayed: Replayed) -> list[TableUpdate]:
    """Gold for the groups of the file; what was written, for the events."""
    silver, rows = job.table("silver"), replayed.merged
    updates = [TableUpdate("silver", silver, silver.written_version(spark), replayed.waiting.rows, rows)]
    for name, definition in job.dataset.gold.items():
        table = job.table("gold", name)
        done = gold.refresh(spark, table, silver, job.dataset, definition, replayed.waiting.ingest_id)
        updates.append(TableUpdate("gold", table, done.version, rows, done.groups))
    return updates


def _enter(job: Job, spark: Any, replayed: Replayed) -> None:
    """The ledger's line for the file with what has changed places."""
    ledger, file = job.table("ledger"), replayed.waiting
    earlier = books.latest(spark, ledger, file.ingest_id)
    if earlier is None:  # its run has not ended well yet, and will write the line
        return
    now = replace(
        earlier,
        silver=earlier.silver + replayed.merged,
        quarantined=earlier.quarantined - file.rows + replayed.kept,
        dropped=earlier.dropped + replayed.dropped,
        duplicates=earlier.duplicates + replayed.superseded,
    )
    now.check()
    entry = books.Entry(
        file.ingest_id, file.source_uri, file.source_sha256, job.trace.run_id, books.COMPLETE, True, now, file.cause
    )
    books.record(spark, ledger, job.dataset, entry)


def _summary(dataset: str, source_uri: str | None, done: list[Replayed], *, dry_run: bool) -> dict[str, Any]:
    counts = {name: sum(getattr(file, name) for file in done) for name in ("merged", "kept", "dropped", "superseded")}
    rows = sum(file.waiting.rows for file in done)
    would = "would be" if dry_run else "were"
    said = (
        f"{rows:,} {'record' if rows == 1 else 'records'} of {dataset} judged again: "
        f"{counts['merged']:,} {would} merged into Silver, {counts['kept']:,} still break a rule, "
        f"{counts['dropped']:,} {would} dropped, "
        f"{counts['superseded']:,} have a later record of the same key in their file."
    )
    failing: dict[str, int] = {}
    for file in done:
        for rule in file.gate.rules:
            if rule.failed_rows and rule.severity == "quarantine":
                failing[rule.name] = failing.get(rule.name, 0) + rule.failed_rows
    return {
        "dataset": dataset,
        "source_uri": source_uri,
        "dry_run": dry_run,
        "files": len(done),
        "rows": rows,
        **counts,
        "still_broken": failing,
        "statement": said if rows else f"Nothing of {dataset} is in quarantine.",
    }


def _conclude(dataset: str, summary: dict[str, Any]) -> None:
    rules = [f"| `{name}` | {rows:,} |" for name, rows in summary["still_broken"].items()]
    table = ["", "| still broken | records |", "|---|---:|", *rules] if rules else []
    create_markdown_artifact(
        key=f"quarantine-replay-{dataset.replace('_', '-')}",
        markdown="\n".join([f"# Replay of the quarantine of {dataset}", "", summary["statement"], *table]) + "\n",
        description=summary["statement"],
    )


if __name__ == "__main__":
    quarantine_replay(dataset=sys.argv[1])
