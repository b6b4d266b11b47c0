"""The quality table: for each file and rule how many rows broke it, as the gate counted when it judged the file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows.lake.datasets import Dataset
from flows.lake.lines import append_once
from flows.lake.quality import GateResult
from flows.lake.staging import StagedFile
from flows.lake.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


def record(
    spark: SparkSession, table: Table, dataset: Dataset, staged: StagedFile, gate: GateResult, run_id: str | None
) -> None:
    """A line for each rule, once for each file under each definition of its dataset."""
    import pyarrow as pa

    now = datetime.now(UTC)
    lines = [
        {
            "checked_at": now,
            "dataset": dataset.name,
            "ingest_id": staged.ingest_id,
            "source_uri": staged.uri,
            "run_id": run_id,
            "rules_version": dataset.version,
            "rule": rule.name,
            "severity": rule.severity,
            "expression": rule.expression,
            "rows": gate.rows,
            "failed_rows": rule.failed_rows,
        }
        for rule in gate.rules
    ]
    application = f"quality:{staged.ingest_id}:{dataset.version}:{gate.rules_applied}"
    append_once(spark, table, pa.Table.from_pylist(lines, schema=_schema()), application)


def _schema() -> pa.Schema:
    import pyarrow as pa

    words = ("dataset", "ingest_id", "source_uri", "run_id", "rules_version", "rule", "severity", "expression")
    return pa.schema(
        [
            ("checked_at", pa.timestamp("us", "UTC")),
            *((name, pa.string()) for name in words),
            ("rows", pa.int64()),
            ("failed_rows", pa.int64()),
        ]
    )
