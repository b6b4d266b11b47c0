"""What a table is asked without Spark: its newest version and its size, where it is on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from datalab.runtime.s3_lake import keys, spark_conf
from flows.lake.tables import Lake, Table


def test_version_and_size_of_a_local_table_need_no_spark(tmp_path: Path) -> None:
    folder = tmp_path / "a table"
    table, by_uri = Table(str(folder)), Table(f"file://{tmp_path}/a%20table")
    (folder / "_delta_log").mkdir(parents=True)
    (folder / "part-killed.parquet").write_bytes(b"half")
    no_spark: Any = object()  # whatever is asked of it fails
    assert (table.version(no_spark), table.size_bytes()) == (None, 0)
    for _ in range(2):
        write_deltalake(str(folder), pa.table({"n": [1, 2, 3]}), mode="append")
    written = sum(path.stat().st_size for path in folder.glob("*.parquet")) - len(b"half")
    for same in (table, by_uri):
        assert (same.version(no_spark), same.size_bytes()) == (1, written)


def test_the_size_of_a_table_elsewhere_is_not_known() -> None:
    table = Lake("hdfs://lake/main", Path("/lab")).table("silver", "stocks")
    assert (table.local, table.size_bytes()) == (None, None)


def test_a_table_in_s3_is_named_for_spark_and_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIO_ENDPOINT", "http://127.0.0.1:9000")
    monkeypatch.setenv("S3_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("S3_SECRET_ACCESS_KEY", "hush")
    table = Lake("s3://lake/main/", Path("/lab")).table("silver", "stocks")
    assert table.path == "s3a://lake/main/silver/stocks"
    assert table.for_readers is not None
    location, options = table.for_readers
    assert (location, options["AWS_ENDPOINT_URL"]) == ("s3://lake/main/silver/stocks", "http://127.0.0.1:9000")
    settings = spark_conf(os.environ)
    assert settings["spark.hadoop.fs.s3a.path.style.access"] == "true"
    assert "hush" not in str(settings)
    assert keys(os.environ) == {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "hush"}
