"""What can be set for objects in S3 stores; see the README for what each does."""

from __future__ import annotations

from pydantic import Field, SecretStr

from datalab.runtime.settings import LabSettings


class S3Settings(LabSettings):
    """The store is that at MINIO_ENDPOINT; without one nothing of S3 runs."""

    # Empty: found as AWS's tools find them, in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY first.
    s3_access_key_id: str = ""
    s3_secret_access_key: SecretStr = SecretStr("")
    s3_region: str = "us-east-1"
    # Names with commas between them. To be ignored is a bucket whose files are noticed already, as those of the landing
    # directory are: as file and as object, each would be two events.
    ingest_s3_buckets: str = ""
    ingest_s3_ignored_buckets: str = ""
    ingest_s3_list_interval_seconds: float = Field(default=300.0, gt=0)

    @property
    def listed_buckets(self) -> tuple[str, ...]:
        """The buckets that are listed every INGEST_S3_LIST_INTERVAL_SECONDS."""
        return tuple(name for name in _names(self.ingest_s3_buckets) if name not in self.ignored_buckets)

    @property
    def ignored_buckets(self) -> frozenset[str]:
        """The buckets of which nothing is noted."""
        return frozenset(_names(self.ingest_s3_ignored_buckets))


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]
