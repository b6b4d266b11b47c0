"""Events that carry measurements."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.envelope import EventData

# Names of measurements, with their units. What each is `of`, and its labels:
RUN_CPU = "run.cpu_seconds"  # s; of the flow; labels run_id, flow
RUN_MEMORY_PEAK = "run.memory_peak_bytes"  # By; as above
SERVICE_CPU = "service.cpu_seconds"  # s, since its start; of the service
SERVICE_MEMORY = "service.memory_bytes"  # By, resident; of the service
TOPIC_LAG = "topic.lag"  # 1, records; of the topic; label group
TOPIC_RECORDS = "topic.records"  # 1, records that are kept; of the topic
TOPIC_SIZE = "topic.size_bytes"  # By, on the brokers' disks, of one copy; of the topic
TOPIC_RECENT = "topic.recent_records"  # 1, records stored in the last hour; of the topic
TOPIC_OLDEST_UNREAD = (
    "topic.oldest_unread_seconds"  # s, since the oldest unread record was stored; of the topic; label group
)
TABLE_AGE = "table.age_seconds"  # s, since its newest version; of LAYER/TABLE
TABLE_ROWS = "table.rows"  # 1; of LAYER/TABLE
TABLE_FILES = "table.files"  # 1; of LAYER/TABLE
TABLE_SIZE = "table.size_bytes"  # By, of the newest version; of LAYER/TABLE
QUARANTINE_ROWS = "quarantine.rows"  # 1; of the dataset
# 1, versions of the last day with other columns than the one before; of LAYER/TABLE; label columns says which
TABLE_SCHEMA_CHANGES = "table.schema_changes"
TABLE_VERSIONS = "table.versions"  # 1, in its log; of LAYER/TABLE
TABLE_SMALL_FILES = "table.small_files"  # 1, that could be merged; of LAYER/TABLE
AUDIT_ROWS_FAILED = "audit.rows_failed"  # 1, that break a rule as the rules are now; of LAYER/TABLE
CERTIFICATE_LEFT = "certificate.seconds_left"  # s, until a TLS certificate expires; of HOST:PORT
RUN_WAITING = "deployment.waiting_seconds"  # s, since the longest waiting run was due; of flow/deployment
UNPLANNED = "deployment.unplanned"  # 1 if a schedule is active and no run planned, else 0; of flow/deployment
POOL_SILENCE = "work_pool.silent_seconds"  # s, since any worker was heard of; of the work pool
# 1, use of the error budget in multiples of what is too fast; of flow/deployment; labels say over which windows
BURN_FAST = "flow.burn_fast"
BURN_SLOW = "flow.burn_slow"
MODEL_MEDIAN_SCORE = (
    "model.median_score"  # 1, of the entities' newest changes, in deviations of the model's errors; of the model
)
# 1, rows of the last day against the usual, times more or less; of the dataset; labels observed and usual
VOLUME_FACTOR = "dataset.volume_factor"
BACKUP_SIZE = "backup.size_bytes"  # By, of a verified backup; of LAYER/TABLE


class MetricSampled(EventData):
    """One measurement of a subject."""

    type: ClassVar[str] = "lab.metric.sampled.v1"
    topic: ClassVar[str] = "lab.metrics"

    of: str = Field(description="What was measured: a table, a topic, a service")
    name: str = Field(description="Which measurement, such as topic.lag")
    value: float = Field(description="What was measured, in `unit`")
    unit: str = Field(description="Unit of `value`, as in UCUM: s, By, 1, 1/s")
    labels: dict[str, str] = Field(default_factory=dict, description="What tells this from others of the same name")

    def subject(self) -> str:
        return self.of
