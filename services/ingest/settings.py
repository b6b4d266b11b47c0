"""What can be set for ingest; see the README for what each does."""

from __future__ import annotations

from pydantic import Field

from services.ingest.s3.settings import S3Settings


class IngestSettings(S3Settings):
    """Read from the environment, under the upper-case name of each field."""

    ingest_port: int = Field(default=8081, ge=0, le=65535)
    ingest_scan_interval_seconds: float = Field(default=0.5, gt=0)
    ingest_settle_seconds: float = Field(default=1.0, ge=0)
    ingest_hash_threads: int = Field(default=2, ge=1, le=64)
    ingest_publish_timeout_seconds: float = Field(default=5.0, gt=0)
    ingest_max_in_flight: int = Field(default=10_000, ge=1)
    ingest_body_timeout_seconds: float = Field(default=30.0, gt=0)
    ingest_max_held_bytes: int = Field(default=64 * 1024 * 1024, ge=9 * 1024 * 1024)
    ingest_claim_seconds: float = Field(default=60.0, gt=0)
    # None: only where it can be reached from other machines.
    ingest_require_tokens: bool | None = None
    # None: 10,000 where tokens are required, otherwise without a limit.
    ingest_rate_events_per_second: float | None = Field(default=None, ge=0)
