"""Looks at what no event tells: topics and lag, the lake's tables, the health of every service, without Spark.

Findings become `lab.service.degraded.v1` when a check begins to fail and `lab.service.recovered.v1` when it passes
again; measurements become `lab.metric.sampled.v1`. A finding never fails the run; only Kafka does, since without it
nobody hears of the findings. What is looked at, and how, is in `flows.watch`.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:  # loaded as a file: by Prefect, or from inside flows/
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from datalab.bus.loop_thread import run_apart
from flows.errors import FlowError
from flows.runs import current_trace, task_options
from flows.trace import Trace
from flows.usage import HOOKS
from flows.watch.announcements import Told, announce
from flows.watch.certificates import certificate_addresses, look_at_certificates
from flows.watch.findings import Measurement
from flows.watch.look import Look
from flows.watch.planning import PlanningHealth, look_at_planning
from flows.watch.report import monitoring_report, summary
from flows.watch.services import Health, look_at_services
from flows.watch.settings import WatchSettings
from flows.watch.tables import LakeHealth, look_at_lake
from flows.watch.topics import TopicsHealth, look_at_topics
from flows.watch.volumes import look_at_volumes

_TASK = task_options()
_LONGEST_DEADLINE_S = 60.0


@flow(name="monitoring", description=__doc__, retries=0, persist_result=False, **HOOKS)
def monitoring_pipeline(deadline_s: float = 3.0) -> dict[str, Any]:
    """Look at everything at once, tell what changed, and return a summary.

    `deadline_s` is what each service may take to answer; topics, and Prefect's runs, may take three times as long.
    Raises FlowError with a plain message.
    """
    if not 0 < deadline_s <= _LONGEST_DEADLINE_S:
        raise FlowError(f"deadline_s: must be above 0 and at most {_LONGEST_DEADLINE_S:g}, is {deadline_s}")
    settings, now = WatchSettings(), datetime.now(UTC)
    kafka = settings.kafka_bootstrap_servers
    services = check_services.submit(deadline_s)
    topics = check_topics.submit(kafka, 3 * deadline_s)
    lake = check_lake.submit(settings.lake_root, now)
    planning = check_planning.submit(now, 3 * deadline_s)
    volumes = check_volumes.submit(kafka, now, 3 * deadline_s)
    look = Look(now, services.result(), lake.result(), topics.result(), planning.result(), volumes.result())
    told: Told | None = None
    try:
        told = tell(kafka, look, current_trace())
        return summary(look, told)
    finally:
        write_report(look, told)


@task(name="check-services", **_TASK)
def check_services(deadline_s: float) -> list[Health]:
    """Ask every service, each with its own deadline."""
    settings = WatchSettings()
    addresses = certificate_addresses(settings)
    found = run_apart(look_at_services(settings, deadline_s=deadline_s))
    return found + (run_apart(look_at_certificates(addresses, deadline_s=deadline_s)) if addresses else [])


@task(name="check-topics", **_TASK)
def check_topics(kafka: str, deadline_s: float) -> TopicsHealth:
    """Topics, records, lag."""
    return run_apart(look_at_topics(kafka, deadline_s=deadline_s))


@task(name="check-lake", **_TASK)
def check_lake(root: str, now: datetime) -> LakeHealth:
    """Every table's newest version."""
    return look_at_lake(root, now)


@task(name="check-planning", **_TASK)
def check_planning(now: datetime, deadline_s: float) -> PlanningHealth:
    """Runs that wait, schedules that plan nothing, workers that are silent."""
    return run_apart(look_at_planning(now, deadline_s=deadline_s))


@task(name="check-volumes", **_TASK)
def check_volumes(kafka: str, now: datetime, deadline_s: float) -> tuple[Measurement, ...]:
    """Whether as many rows arrived as usual."""
    return run_apart(look_at_volumes(kafka, now, deadline_s=deadline_s))


@task(name="tell", **_TASK)
def tell(kafka: str, look: Look, trace: Trace) -> Told:
    """Publish what changed, and the measurements."""
    log = get_run_logger()
    told = run_apart(announce(kafka, look, trace))
    for change in told.changes:
        log.warning("%s is %s: %s", change.subject, change.kind, change.reason)
    log.info("%d checks, %d findings, %d measurements", len(look.checks), len(look.findings), told.measurements)
    return told


@task(name="report", **_TASK)
def write_report(look: Look, told: Told | None) -> None:
    """Leave a page with the run."""
    create_markdown_artifact(
        key="monitoring", markdown=monitoring_report(look, told), description="Health of the lab, as last looked at"
    )


if __name__ == "__main__":
    monitoring_pipeline()
