"""The environment every process reads: one name per fact, with defaults that work on one machine.

Values come from the environment, then `.env`, then `/run/secrets` (one file per name, as containers mount them).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values
from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parents[2]
_SECRETS = Path("/run/secrets")


def configuration(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment, with the project's `.env` below it."""
    written = {key: value for key, value in dotenv_values(PROJECT_ROOT / ".env").items() if value is not None}
    return {**written, **(os.environ if environ is None else environ)}


class LabSettings(BaseSettings):
    """Where the parts of the lab are. Paths default to below `datalab_home`."""

    model_config = SettingsConfigDict(
        env_file=".env", secrets_dir=_SECRETS if _SECRETS.is_dir() else None, extra="ignore", frozen=True
    )

    datalab_home: Path = PROJECT_ROOT / ".datalab"
    datalab_config_dir: Path = PROJECT_ROOT / "config"
    host: str = Field(default="127.0.0.1", validation_alias="DATALAB_HOST")
    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    database_url: str = Field(default="", repr=False)
    prefect_api_url: str = "http://127.0.0.1:4200/api"
    # Where a browser finds Prefect; in containers that is another address than the API's.
    prefect_ui_url: str = ""
    mlflow_tracking_uri: str = "http://127.0.0.1:5000"
    spark_remote: str | None = None
    spark_master_url: str | None = None
    minio_endpoint: str | None = None
    lake_root: str = ""
    landing_dir: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _paths_below_home(cls, values: dict[str, object]) -> dict[str, object]:
        home = Path(str(values.get("datalab_home") or PROJECT_ROOT / ".datalab")).absolute()
        return {
            **values,
            "datalab_home": home,
            "lake_root": values.get("lake_root") or str(home / "lake"),
            "landing_dir": values.get("landing_dir") or home / "landing",
        }

    @property
    def landing(self) -> Path:
        """The landing directory, absolute."""
        if self.landing_dir is None:  # pragma: no cover - the validator always fills it
            raise ValueError("LANDING_DIR: is empty; set it to a directory")
        return self.landing_dir.absolute()

    @property
    def prefect_pages(self) -> str:
        """The address that links to Prefect's pages start with, without a slash at the end."""
        return (self.prefect_ui_url or self.prefect_api_url.rstrip("/").removesuffix("/api")).rstrip("/")

    def require_database_url(self) -> str:
        """DATABASE_URL, or a ValueError that says what to do."""
        if not self.database_url:
            raise ValueError(
                "DATABASE_URL is not set: start the lab with `datalab up`, or set it to a PostgreSQL address"
            )
        return self.database_url
