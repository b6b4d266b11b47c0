"""What can be set for objects in S3 stores; see the README for what each does."""

from __future__ import annotations

from pydantic import AliasChoices, Field, SecretStr

from datalab.runtime.settings import LabSettings


class S3Settings(LabSettings):
    """The store is that at MINIO_ENDPOINT; without one nothing of S3 runs."""

    s3_access_key_id: str = Field(default="", validation_alias=AliasChoices("AWS_ACCESS_KEY_ID", "S3_ACCESS_KEY_ID"))
    s3_secret_access_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("AWS_SECRET_ACCESS_KEY", "S3_SECRET_ACCESS_KEY")
    )
    s3_region: str = Field(default="us-east-1", validation_alias=AliasChoices("AWS_REGION", "S3_REGION"))
    # Names with commas between them.
    ingest_s3_buckets: str = ""
    ingest_s3_list_interval_seconds: float = Field(default=300.0, gt=0)

    @property
    def listed_buckets(self) -> tuple[str, ...]:
        """The buckets that are listed every INGEST_S3_LIST_INTERVAL_SECONDS."""
        return tuple(name for part in self.ingest_s3_buckets.split(",") if (name := part.strip()))
