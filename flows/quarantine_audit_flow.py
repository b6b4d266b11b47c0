"""Quarantine audit: which rows of a dataset, or of one of its files, were put in quarantine, and why.

It reads Delta without Spark and changes nothing. A rule of the bridge starts it after each failed quality check, while
the ETL may still be at that file: it waits for the dataset, so that it sees all of it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

if __package__ in {None, ""}:  # loaded as a file: by Prefect, or from inside flows/
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.config import FlowSettings
from flows.lake import announcements
from flows.lake import quarantine_audit as quarantined
from flows.lake.audit_report import audit_report, statement
from flows.lake.datasets import load_datasets, named_dataset
from flows.lake.locks import dataset_lock
from flows.lake.quarantine_audit import Findings
from flows.lake.tables import Lake
from flows.runs import current_trace, task_options
from flows.trace import Trace
from flows.usage import HOOKS
from schemas.envelope import Event
from schemas.metrics import QUARANTINE_ROWS, MetricSampled

SOURCE = "/flows/quarantine-audit"
_TASK = task_options()


@flow(name="quarantine-audit", description=__doc__, retries=0, persist_result=False, **HOOKS)
def quarantine_audit(
    dataset: str, source_uri: str | None = None, sample: Annotated[int, Field(ge=0, le=200)] = 20
) -> dict[str, Any]:
    """Count and show what is in quarantine; `sample` records are shown as they came.

    Raises LakeError for an unknown dataset. A dataset without a quarantine is a plain statement.
    """
    settings = FlowSettings()
    chosen = named_dataset(load_datasets(settings.datasets_file), dataset)
    lake = Lake(settings.lake_root, settings.datalab_home)
    findings = look_through(settings, lake, dataset, source_uri, sample)
    said = statement(chosen, source_uri, findings)
    get_run_logger().info(said)
    publish(settings.kafka_bootstrap_servers, [measurement(current_trace(), dataset, findings)])
    create_markdown_artifact(
        key=f"quarantine-{dataset.replace('_', '-')}",
        markdown=audit_report(chosen, source_uri, findings),
        description=said,
    )
    return {
        "dataset": dataset,
        "source_uri": source_uri,
        "rows": findings.rows,
        "rows_in_all": findings.rows_in_all,
        "by_rule": findings.by_rule,
        "by_source": findings.by_source,
        "table_version": findings.version,
        "statement": said,
    }


@task(name="look-through", **_TASK)
def look_through(settings: FlowSettings, lake: Lake, dataset: str, source_uri: str | None, sample: int) -> Findings:
    """Once no other run writes the dataset."""
    log = get_run_logger()
    with dataset_lock(lake.work / "locks", dataset, wait_s=settings.lock_wait_s, say=log.info):
        return quarantined.find(lake, dataset, source_uri, sample)


@task(name="publish", **_TASK)
def publish(bootstrap: str, events: list[Event]) -> None:
    """Announce on Kafka; acknowledged before the run goes on."""
    announcements.publish(bootstrap, events, "flows.quarantine-audit")


def measurement(trace: Trace, dataset: str, findings: Findings) -> Event:
    """How many rows the dataset has in quarantine: once for each version of the table."""
    data = MetricSampled(of=dataset, name=QUARANTINE_ROWS, value=findings.rows_in_all, unit="1")
    return trace.event(SOURCE, data, dataset, QUARANTINE_ROWS, str(findings.version))


if __name__ == "__main__":
    quarantine_audit(dataset=sys.argv[1])
