"""A real Spark Connect server for the flows, a lake of its own for each test, and a look into it without Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bokeh_sampledata import __file__ as sampledata
from deltalake import DeltaTable
from prefect import Task
from prefect.settings import PREFECT_API_URL, temporary_settings

from datalab.local.state import LabState
from flows import medallion_etl_flow, quarantine_audit_flow, quarantine_replay_flow
from tests.support.lab_parts import lab_parts
from tests.support.s3_gateway import ACCESS_KEY, SECRET_KEY, Gateway, s3_gateway

# What differs between two runs that did the same.
_OF_THE_RUN = (
    "data_ingestao",
    "_ingested_at",
    "data_processamento",
    "_run_id",
    "_event_id",
    "run_id",
    "checked_at",
    "finished_at",
)

# Every table of the dataset, in layers.
STOCKS_TABLES = [
    "bronze/stocks",
    "silver/stocks",
    "gold/stocks_monthly",
    "quarantine/stocks",
    "quality/stocks",
    "ledger/stocks",
]


@pytest.fixture(scope="session")
def spark_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabState]:
    """The state of a lab with only a Spark Connect server."""
    with lab_parts(tmp_path_factory.mktemp("spark") / "spark lab", ["spark"]) as state:
        yield state


@pytest.fixture(scope="session")
def spark_remote(spark_lab: LabState) -> str:
    return f"sc://127.0.0.1:{spark_lab.parts['spark'].ports['spark']}"


@dataclass(frozen=True)
class LakeView:
    """The lake of a test, read by another implementation of Delta."""

    root: Path
    landing: Path

    def put(self, name: str, content: str | bytes) -> Path:
        path = self.landing / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def has(self, table: str) -> bool:
        return DeltaTable.is_deltatable(str(self.root / table))

    def rows(self, table: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = DeltaTable(str(self.root / table)).to_pyarrow_table().to_pylist()
        return found

    def version(self, table: str) -> int:
        return DeltaTable(str(self.root / table)).version()

    def content(self) -> dict[str, list[str]]:
        """Every row of every table, in an order of its own and without what belongs to the run."""
        tables = sorted(log.parent.relative_to(self.root) for log in self.root.glob("*/*/_delta_log"))
        return {
            str(table): sorted(
                repr({key: row[key] for key in sorted(row) if key not in _OF_THE_RUN}) for row in self.rows(str(table))
            )
            for table in tables
        }


@pytest.fixture
def sparkless_lake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kafka_bootstrap: str, prefect_api_url: str
) -> Iterator[LakeView]:
    """An empty lake in a directory with a space in its name, and the environment of a run that needs no Spark."""
    home = tmp_path / "my lab"
    for name in ("LAKE_ROOT", "LANDING_DIR", "SPARK_MASTER_URL", "SPARK_REMOTE", "DATALAB_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATALAB_HOME", str(home))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("PREFECT_API_URL", prefect_api_url)
    flows = (medallion_etl_flow, quarantine_audit_flow, quarantine_replay_flow)
    for step in [value for module in flows for value in vars(module).values()]:
        if isinstance(step, Task):
            monkeypatch.setattr(step, "retries", 2)
            monkeypatch.setattr(step, "retry_delay_seconds", 0.2)
    with temporary_settings({PREFECT_API_URL: prefect_api_url}):
        yield LakeView(home / "lake", home / "landing" / "stocks")


@pytest.fixture
def lake(sparkless_lake: LakeView, monkeypatch: pytest.MonkeyPatch, spark_remote: str) -> LakeView:
    """The same with Spark."""
    monkeypatch.setenv("SPARK_REMOTE", spark_remote)
    return sparkless_lake


@pytest.fixture(scope="session")
def stocks_csv() -> str:
    """The real prices: 12,154 rows of five symbols."""
    import gzip

    path = Path(sampledata).parent / "_data" / "stocks.csv.gz"
    return gzip.decompress(path.read_bytes()).decode()


@pytest.fixture(scope="session")
def few_stocks(stocks_csv: str) -> Callable[..., str]:
    """The header and some of the real rows."""
    header, *rows = stocks_csv.splitlines()

    def cut(start: int = 0, count: int = 60) -> str:
        return "\n".join([header, *rows[start : start + count]]) + "\n"

    return cut


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps the objects of its buckets."""
    return tmp_path_factory.mktemp("s3")


@pytest.fixture(scope="session")
def gateway(objects: Path) -> Iterator[Gateway]:
    """A real S3 server with a bucket named lake."""
    with s3_gateway(objects, None) as running:
        running.client.create_bucket(Bucket="lake")
        yield running


@pytest.fixture(scope="session")
def store(gateway: Gateway) -> dict[str, str]:
    """What a run is told of the store."""
    return {
        "LAKE_ROOT": "s3://lake/main",
        "MINIO_ENDPOINT": gateway.url,
        "S3_ACCESS_KEY_ID": ACCESS_KEY,
        "S3_SECRET_ACCESS_KEY": SECRET_KEY,
    }


@pytest.fixture(scope="session")
def mixed_csv(few_stocks: Callable[..., str]) -> str:
    """Good rows, a broken one and a repeated key."""
    good = few_stocks(0, 40)
    return good + good.splitlines()[5] + "\nIBM,,1,1,1,1,1,1\n"
