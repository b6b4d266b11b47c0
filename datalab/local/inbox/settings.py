"""The inbox's environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from datalab.runtime.settings import LabSettings


class InboxSettings(LabSettings):
    """Messages are kept below DATALAB_HOME; the oldest go when there are more than `inbox_keep`."""

    inbox_http_port: int = 8025
    inbox_smtp_port: int = 1025
    inbox_keep: int = Field(default=1000, ge=1)
    alert_webhook_secret: SecretStr | None = None

    @property
    def folder(self) -> Path:
        """Where messages and secrets are kept."""
        return self.datalab_home / "inbox"
