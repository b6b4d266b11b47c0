"""Where the services are that are watched. An empty address means that this lab has no such service."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator

from flows.config import FlowSettings


class WatchSettings(FlowSettings):
    """The environment of the flows, and the addresses of our own services."""

    ingest_url: str = "http://127.0.0.1:8081"
    bridge_url: str = "http://127.0.0.1:8082"
    monitor_url: str = "http://127.0.0.1:8083"
    notifier_url: str = "http://127.0.0.1:8084"
    dashboard_url: str = "http://127.0.0.1:8501"
    # As the notifier has them.
    smtp_host: str | None = None
    smtp_port: int = 25
    # As ingest has them; empty keys are found as AWS's tools find them.
    s3_access_key_id: str = ""
    s3_secret_access_key: SecretStr = SecretStr("")
    s3_region: str = "us-east-1"
    # The bucket at MINIO_ENDPOINT in which a look puts an object, reads and deletes it; made if it is missing. Empty:
    # the buckets are only listed. A lake on S3 is looked at in its own bucket.
    watch_s3_bucket: str = ""
    # HOST:PORT of certificates to look at besides those of the https addresses above, comma between.
    watch_certificates: str = ""

    @field_validator("ingest_url", "bridge_url", "monitor_url", "notifier_url", "dashboard_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if value:
            parts = urlsplit(value)
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
                raise ValueError("must be an address such as http://127.0.0.1:8081, or empty for no such service")
        return value.rstrip("/")

    @property
    def certificates(self) -> list[str]:
        """The addresses that WATCH_CERTIFICATES names."""
        return [part.strip() for part in self.watch_certificates.split(",") if part.strip()]

    @field_validator("watch_certificates")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        for part in (part.strip() for part in value.split(",") if part.strip()):
            try:
                usable = bool(urlsplit(f"//{part}").hostname) and urlsplit(f"//{part}").port != 0 and "/" not in part
            except ValueError:
                usable = False
            if not usable:
                raise ValueError(
                    f"{part!r} must be HOST or HOST:PORT, such as lab.example.org:443; comma between several"
                )
        return value
