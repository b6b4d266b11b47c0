"""Of the monitor: flows, runs, alerts, limits, services, topics, tables. Its README explains each field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel


class Counts(BaseModel):
    """Of the last hour, day and seven days."""

    hour: int
    day: int
    week: int


class AlertTotals(BaseModel):
    """`open` by severity."""

    open: dict[str, int]
    fired: Counts


class Summary(BaseModel):
    """Totals of the lab. `services` counts by status."""

    at: datetime
    runs: Counts
    running_now: int
    success_rate: float | None
    alerts: AlertTotals
    services: dict[str, int]


class Duration(BaseModel):
    """Seconds."""

    mean_s: float | None
    p50_s: float | None
    p90_s: float | None
    p95_s: float | None
    p99_s: float | None


class Cpu(BaseModel):
    """CPU seconds of a run."""

    mean_s: float | None
    max_s: float | None


class Memory(BaseModel):
    """Bytes at a run's peak."""

    mean_bytes: float | None
    max_bytes: float | None


class Flow(BaseModel):
    """A flow by one of its deployments."""

    flow: str
    deployment: str | None
    last_run_id: str
    last_state: str
    last_state_type: str
    last_state_at: datetime
    running_now: int
    runs_hour: int
    runs_day: int
    runs_week: int
    success_rate: float | None
    duration: Duration
    cpu: Cpu
    memory_peak: Memory


class Flows(BaseModel):
    """Every flow that has run."""

    flows: list[Flow]


class Run(BaseModel):
    """A run by its newest state."""

    run_id: str
    run_name: str
    flow: str
    deployment: str | None
    state_type: str
    state_name: str
    message: str | None
    occurred_at: datetime
    start_time: datetime | None
    end_time: datetime | None
    duration_s: float | None
    cpu_seconds: float | None
    memory_peak_bytes: float | None
    event_id: str | None
    correlation_id: str | None


class Runs(BaseModel):
    """A page of runs."""

    runs: list[Run]
    next_page_token: str | None


class Bucket(BaseModel):
    """Runs that ended within one bucket of time, of one flow, in one state."""

    start: datetime
    flow: str
    deployment: str | None
    state_type: str
    runs: int


class Histogram(BaseModel):
    """`starts` are all buckets, `counts` those that are not empty."""

    bucket_s: float
    since: datetime
    until: datetime
    starts: list[datetime]
    counts: list[Bucket]


class Alert(BaseModel):
    """One episode of an alert."""

    episode: str
    rule: str
    severity: str
    status: str
    summary: str
    description: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: datetime
    ends_at: datetime | None


class Alerts(BaseModel):
    """A page of alerts; `counts` of all that match, by status."""

    alerts: list[Alert]
    counts: dict[str, int]
    next_page_token: str | None


class Threshold(BaseModel):
    """A limit of an alert rule. `overrides` by deployment or flow; null where the threshold has none."""

    rule: str
    name: str
    unit: str
    description: str
    must_be: str
    default: float
    value: float
    overrides: Mapping[str, float] | None
    enabled: bool
    updated_at: datetime | None
    etag: str


class Thresholds(BaseModel):
    """Every limit, and what overrides may be for."""

    thresholds: list[Threshold]
    known_deployments: list[str]
    known_flows: list[str]


class Rule(BaseModel):
    """An alert rule."""

    rule: str
    severity: str
    enabled: bool
    thresholds: list[str]
    updated_at: datetime | None


class Rules(BaseModel):
    """Every alert rule."""

    rules: list[Rule]


class FailingCheck(BaseModel):
    """Why a service is degraded."""

    check: str
    reason: str
    since: datetime | None


class Service(BaseModel):
    """What the lab depends on. `cpu_share` is CPU seconds per second."""

    service: str
    status: str
    last_seen: datetime | None
    cpu_share: float | None
    memory_bytes: float | None
    failing: list[FailingCheck]


class Services(BaseModel):
    """All that was seen."""

    services: list[Service]


class GroupLag(BaseModel):
    """Records that a group has not read."""

    group: str
    lag: float | None


class Topic(BaseModel):
    """A Kafka topic by its newest measurements."""

    topic: str
    records: float | None
    size_bytes: float | None
    measured_at: datetime | None
    groups: list[GroupLag]


class Topics(BaseModel):
    """All that were measured."""

    topics: list[Topic]


class Dataset(BaseModel):
    """A table of the lake by its newest measurements."""

    dataset: str
    layer: str | None
    table: str
    rows: float | None
    files: float | None
    size_bytes: float | None
    age_seconds: float | None
    updated_at: datetime | None
    measured_at: datetime | None


class Datasets(BaseModel):
    """All that were measured."""

    datasets: list[Dataset]
