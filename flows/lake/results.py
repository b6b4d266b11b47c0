"""The quality table: for each file and rule how many rows broke it, as the gate counted when it judged the file; and
again for what was in quarantine of it, each time that this was judged anew."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows.lake.datasets import Dataset
from flows.lake.lines import append_once
from flows.lake.quality import GateResult
from flows.lake.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Judged:
    """What was judged: a whole file, or of it what was in quarantine. `replay` then names that state of the quarantine,
    and is empty for a file."""

    ingest_id: str
    source_uri: str
    run_id: str | None
    replay: str = ""


def record(spark: SparkSession, table: Table, dataset: Dataset, judged: Judged, gate: GateResult) -> None:
    """A line for each rule, once for each file under each definition of its dataset, and once for each replay."""
    import pyarrow as pa

    now = datetime.now(UTC)
    lines = [
        {
            "checked_at": now,
            "dataset": dataset.name,
            "ingest_id": judged.ingest_id,
            "source_uri": judged.source_uri,
            "run_id": judged.run_id,
            "rules_version": dataset.version,
            "rule": rule.name,
            "severity": rule.severity,
            "expression": rule.expression,
            "rows": gate.rows,
            "failed_rows": rule.failed_rows,
            "replay": bool(judged.replay),
        }
        for rule in gate.rules
    ]
    application = f"quality:{judged.ingest_id}:{dataset.version}:{gate.rules_applied}{judged.replay}"
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
            # NULL in lines from before there was it.
            ("replay", pa.bool_()),
        ]
    )
