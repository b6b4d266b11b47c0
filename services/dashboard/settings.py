"""The dashboard's environment: where the services are that it reads, and how it shows what they say."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator

from datalab.runtime.settings import LabSettings

Language = Literal["en", "pt"]


class DashboardSettings(LabSettings):
    """Seconds unless the name says otherwise. URLs have no slash at the end."""

    dashboard_port: int = 8501
    # What a browser starts with; everybody may switch.
    dashboard_language: Language = "en"
    dashboard_timezone: str = "America/Sao_Paulo"
    # How often a page that is open looks again.
    dashboard_refresh_s: float = Field(default=5.0, ge=1)
    # How long one service may take for one answer.
    dashboard_deadline_s: float = Field(default=5.0, gt=0)
    # How long a trace may read topics.
    dashboard_trace_deadline_s: float = Field(default=15.0, gt=0)

    # For changes that people make here, where the monitor wants a token: one with the scope monitor:write.
    dashboard_token: SecretStr | None = None

    bridge_url: str = "http://127.0.0.1:8082"
    monitor_url: str = "http://127.0.0.1:8083"
    notifier_url: str = "http://127.0.0.1:8084"

    @field_validator("bridge_url", "monitor_url", "notifier_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/")

    @field_validator("dashboard_timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (LookupError, ValueError, OSError) as error:
            raise ValueError(f"there is no time zone {value!r}; write it as in America/Sao_Paulo") from error
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The time zone that times are shown in."""
        return ZoneInfo(self.dashboard_timezone)
