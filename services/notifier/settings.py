"""The notifier's environment. Addresses of receivers are not here: `config/notify.yaml` names their variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from datalab.runtime.settings import LabSettings

Language = Literal["en", "pt"]
_SECRETS = Path("/run/secrets")
# As Svix does (5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h), and two more of 10 h: two days.
_DAYS = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0, 36_000.0, 36_000.0)


class NotifierSettings(LabSettings):
    """Seconds unless the name says otherwise."""

    notifier_port: int = 8084
    notifier_group: str = "notifier"
    notifier_language: Language = "en"
    notifier_timezone: str = "America/Sao_Paulo"
    notifier_allowed_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    notifier_lease_s: float = Field(default=30.0, gt=0)
    notifier_deadline_s: float = Field(default=15.0, gt=0)
    notifier_poll_s: float = Field(default=1.0, gt=0)
    notifier_retry_s: Annotated[tuple[float, ...], NoDecode] = _DAYS
    notifier_slots: int = Field(default=200, ge=1)
    notifier_per_target: int = Field(default=4, ge=1)
    notifier_stall_s: float = Field(default=60.0, gt=0)
    notifier_rotation_hours: float = Field(default=24.0, ge=0)
    notifier_disable_after_hours: float = Field(default=120.0, gt=0)
    notifier_keep_days: float = Field(default=90.0, ge=31, le=36_500)
    notifier_secret_key: SecretStr | None = None
    notifier_require_tokens: bool | None = None
    notifier_origin: str = "dataflow-lab"
    dashboard_url: str | None = None

    smtp_host: str | None = None
    smtp_port: int = 25
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: Literal["none", "starttls", "tls"] = "none"
    alert_email_from: str = "DataFlow Lab <alerts@datalab.example>"

    @field_validator("notifier_allowed_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("notifier_retry_s", mode="before")
    @classmethod
    def _split_seconds(cls, value: object) -> object:
        return tuple(value.split(",")) if isinstance(value, str) else value


def environment() -> Mapping[str, str]:
    """Every variable by name, as settings see them: the environment, then `.env`, then `/run/secrets`."""
    files = {f.name.upper(): f.read_text("utf-8").strip() for f in _SECRETS.glob("*") if f.is_file()}
    dotenv = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    return {**files, **dotenv, **os.environ}
