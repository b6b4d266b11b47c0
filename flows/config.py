"""The one place for names, schedules, pools and retries of the flows.

It only declares; `flows.manage_deployments` tells Prefect about it. Nothing here talks to a service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from datalab.runtime.s3_lake import in_s3
from datalab.runtime.settings import PROJECT_ROOT, LabSettings

TIMEZONE = "America/Sao_Paulo"
ETL_POOL = "etl-pool"
MLOPS_POOL = "mlops-pool"
POOL_TYPE = "process"


class FlowSettings(LabSettings):
    """The lab's environment, and what only flows read."""

    # The project's, wherever a flow or a command is called from.
    model_config = SettingsConfigDict(env_file=PROJECT_ROOT / ".env")

    task_retries: int = Field(default=3, ge=0, validation_alias="DATALAB_TASK_RETRIES")
    task_retry_delay_s: float = Field(default=60.0, ge=0, validation_alias="DATALAB_TASK_RETRY_DELAY_S")
    spark_wait_s: float = Field(default=90.0, gt=0, validation_alias="DATALAB_SPARK_WAIT_S")
    spark_jars: str = Field(default="", validation_alias="DATALAB_SPARK_JARS")
    lock_wait_s: float = Field(default=3600.0, gt=0, validation_alias="DATALAB_LOCK_WAIT_S")
    backup_dir: Path | None = Field(default=None, validation_alias="DATALAB_BACKUP_DIR")

    @model_validator(mode="after")
    def _a_spark_that_knows_the_store(self) -> FlowSettings:
        if in_s3(self.lake_root) and self.spark_master_url and not self.spark_remote:
            raise ValueError(
                f"LAKE_ROOT={self.lake_root}: a lake in an S3 store needs a Spark Connect server of `datalab up` "
                "(SPARK_REMOTE), not a cluster (SPARK_MASTER_URL)"
            )
        return self

    @property
    def backups(self) -> Path:
        """Where maintenance keeps its backups; a disk of their own outlives the lake's."""
        return (self.backup_dir or self.datalab_home / "backups").absolute()

    @property
    def datasets_file(self) -> Path:
        return self.datalab_config_dir / "datasets.yaml"

    @property
    def models_file(self) -> Path:
        return self.datalab_config_dir / "models.yaml"


@dataclass(frozen=True)
class Pool:
    """A Prefect work pool; one worker serves each."""

    name: str
    description: str


@dataclass(frozen=True)
class Deployment:
    """A flow as Prefect knows it. `parameters` are the defaults of its runs; without `cron` only events and people
    start it."""

    name: str
    flow: str
    entrypoint: str
    pool: str
    cron: str | None
    description: str
    tags: tuple[str, ...]
    parameters: Callable[[LabSettings], Mapping[str, Any]] = field(default=lambda _: {})

    @property
    def full_name(self) -> str:
        return f"{self.flow}/{self.name}"


POOLS = (
    Pool(ETL_POOL, "ETL and monitoring"),
    Pool(MLOPS_POOL, "Training and maintenance"),
)

DEPLOYMENTS = (
    Deployment(
        name="medallion-etl-daily",
        flow="medallion-etl",
        entrypoint="flows/medallion_etl_flow.py:medallion_etl_pipeline",
        pool=ETL_POOL,
        cron="0 6 * * *",
        description="Bronze, quality gate, Silver and Gold of a file, or of all new files of a directory.",
        tags=("etl", "medallion"),
        parameters=lambda settings: {
            "source_path": str(settings.landing / "stocks"),
            "enable_quality_checks": True,
            "min_rows_threshold": 1000,
        },
    ),
    Deployment(
        name="monitoring-5min",
        flow="monitoring",
        entrypoint="flows/monitoring_flow.py:monitoring_pipeline",
        pool=ETL_POOL,
        cron="*/5 * * * *",
        description="Topics and lag, health of the lake and of every service, as events and as a report.",
        tags=("monitoring",),
    ),
    Deployment(
        name="mlops-training-weekly",
        flow="mlops-training",
        entrypoint="flows/mlops_flow.py:mlops_training_pipeline",
        pool=MLOPS_POOL,
        cron="0 2 * * 0",
        description="Trains on Gold at a pinned version, promotes what beats the champion, scores what is new.",
        tags=("mlops", "training"),
    ),
    Deployment(
        name="maintenance-weekly",
        flow="maintenance",
        entrypoint="flows/maintenance_flow.py:maintenance_pipeline",
        pool=MLOPS_POOL,
        cron="0 3 * * 6",
        description="Verified backup, and only then purge, OPTIMIZE and VACUUM; audit, statistics and a report.",
        tags=("maintenance",),
    ),
    Deployment(
        name="kafka-pipeline",
        flow="kafka-pipeline",
        entrypoint="flows/kafka_pipeline_flow.py:pipeline_kafka",
        pool=ETL_POOL,
        cron=None,
        description="Consumes a topic, processes its messages and publishes the results on another.",
        tags=("kafka",),
    ),
    Deployment(
        name="quarantine-audit",
        flow="quarantine-audit",
        entrypoint="flows/quarantine_audit_flow.py:quarantine_audit",
        pool=ETL_POOL,
        cron=None,
        description="Says which rows of a file were put in quarantine, and why.",
        tags=("quality",),
    ),
    Deployment(
        name="quarantine-replay",
        flow="quarantine-replay",
        entrypoint="flows/quarantine_replay_flow.py:quarantine_replay",
        pool=ETL_POOL,
        cron=None,
        description="Judges what is in quarantine by the rules of today, and merges what passes.",
        tags=("quality",),
    ),
)


def project_root() -> Path:
    """The working directory of every run."""
    return PROJECT_ROOT


def retry_policy() -> dict[str, Any]:
    """Retries of a task, as arguments of Prefect's `@task`: 3 x 60 s unless the environment says otherwise."""
    settings = FlowSettings()
    return {"retries": settings.task_retries, "retry_delay_seconds": settings.task_retry_delay_s}
