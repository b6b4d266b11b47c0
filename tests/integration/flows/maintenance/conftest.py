"""A lake that was loaded once, a copy of it for each test, and looks at what maintenance did to it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from deltalake import DeltaTable
from prefect import Task
from prefect.settings import PREFECT_API_URL, temporary_settings

from datalab.bus.reader import read_events
from datalab.runtime.settings import PROJECT_ROOT
from flows.medallion_etl_flow import medallion_etl_pipeline
from flows.upkeep import tasks
from schemas.envelope import Event
from tests.integration.flows.conftest import LakeView

OLD, RECENT = 60, 120  # rows of the year 2000, and of later years
NEGATIVE = "AAPL,2002-05-01,-1,2,1,1.5,100\n"


@dataclass(frozen=True)
class Lab:
    """A lake with tables, and its datasets."""

    lake: LakeView
    home: Path
    config: Path

    def define(self, **stocks: Any) -> None:
        """Change the definition of `stocks`."""
        file = self.config / "datasets.yaml"
        datasets = yaml.safe_load(file.read_text("utf-8"))
        datasets["stocks"] |= stocks
        file.write_text(yaml.safe_dump(datasets, allow_unicode=True), "utf-8")

    def keep_silver_since(self, day: date) -> None:
        days = (datetime.now(UTC).date() - day).days
        self.define(retention={"silver": {"date": "date", "keep_days": days}})

    def backups(self, table: str) -> list[Path]:
        return sorted((self.home / "backups" / table).glob("2*"))

    def orphan(self, table: str, *, days_old: int) -> Path:
        """A data file that no version knows, as a killed write leaves it."""
        path = self.lake.root / table / "part-00000-orphan.c000.snappy.parquet"
        path.write_bytes(b"x" * 2000)
        return _as_old_as(path, days_old)

    def old_report(self, *, days_old: int) -> Path:
        """The report of an ingestion long ago."""
        path = self.home / "reports" / "medallion" / "stocks" / f"{days_old}-days-ago.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a page")
        return _as_old_as(path, days_old)

    def files(self) -> dict[str, str]:
        """Every file below the lab but reports and locks, by its hash."""
        skipped = {"reports", "locks"}
        return {
            str(path.relative_to(self.home)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.home.rglob("*"))
            if path.is_file() and not skipped & set(path.parts)
        }


@pytest.fixture(scope="session")
def prepared(
    tmp_path_factory: pytest.TempPathFactory,
    spark_remote: str,
    kafka_bootstrap: str,
    prefect_api_url: str,
    few_stocks: Callable[..., str],
) -> Path:
    """A lake that the ETL has loaded with two files; the tests get copies of it."""
    home = tmp_path_factory.mktemp("prepared") / "lab"
    landing = home / "landing" / "stocks"
    landing.mkdir(parents=True)
    (landing / "old.csv").write_text(few_stocks(0, OLD) + NEGATIVE)
    (landing / "recent.csv").write_text(few_stocks(400, RECENT))
    with pytest.MonkeyPatch.context() as environment, temporary_settings({PREFECT_API_URL: prefect_api_url}):
        for name in ("LAKE_ROOT", "LANDING_DIR", "SPARK_MASTER_URL", "DATALAB_CONFIG_DIR"):
            environment.delenv(name, raising=False)
        environment.setenv("DATALAB_HOME", str(home))
        environment.setenv("SPARK_REMOTE", spark_remote)
        environment.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
        assert medallion_etl_pipeline(str(landing), min_rows_threshold=1)["rows_in"] == OLD + RECENT + 1
    return home


@pytest.fixture
def lab(prepared: Path, lake: LakeView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    shutil.copytree(prepared / "lake", lake.root)
    config = tmp_path / "config"
    config.mkdir()
    shutil.copy(PROJECT_ROOT / "config" / "datasets.yaml", config)
    monkeypatch.setenv("DATALAB_CONFIG_DIR", str(config))
    monkeypatch.delenv("DATALAB_BACKUP_DIR", raising=False)
    retry_quickly(monkeypatch)
    return Lab(lake, lake.root.parent, config)


def retry_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for step in vars(tasks).values():
        if isinstance(step, Task):
            monkeypatch.setattr(step, "retries", 1)
            monkeypatch.setattr(step, "retry_delay_seconds", 0.1)


async def events_below(bootstrap: str, root: Path, since: datetime) -> list[Event]:
    """The events of maintenance since then: the tests share the topics."""
    found = read_events(bootstrap, ["lab.quality", "lab.metrics"])
    wanted = [event async for _, event in found if event.source == "/flows/maintenance" and event.time >= since]
    return [e for e in wanted if e.type.startswith("lab.metric") or str(e.data["table"]).startswith(str(root))]


def report_of(done: dict[str, Any]) -> str:
    return Path(done["report"]).read_text("utf-8")


def file_count(path: Path) -> int:
    return len(DeltaTable(str(path)).file_uris())


def _as_old_as(path: Path, days: int) -> Path:
    then = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    os.utime(path, (then, then))
    return path
