"""Silver: typed rows, one per key, the newest ingestion winning. Replaying an old file never undoes a newer one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.lake.bronze_types import canonical
from flows.lake.datasets import INGESTED_AT, Dataset
from flows.lake.pruning import has_none, within
from flows.lake.tables import Table, ident, instant

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_VIEW = "silver_accepted"


def silver_rows(dataset: Dataset, accepted: DataFrame, kept: Mapping[str, str]) -> DataFrame:
    """The accepted rows in the columns of Silver; `kept`: those that it has in a wider type. Lazy."""
    return accepted.selectExpr(
        *(f"CAST({ident(n)} AS {kept[n]}) AS {ident(n)}" if n in kept else ident(n) for n in dataset.columns),
        *(f"{sql} AS {ident(name)}" for name, sql in dataset.partitions.items() if name not in dataset.columns),
        "_ingest_id",
        "_row_number",
        f"{INGESTED_AT} AS _ingested_at",
        f"{instant(datetime.now(UTC), '_row_number IS NULL')} AS data_processamento",
    )


def merge_accepted(
    spark: SparkSession, table: Table, dataset: Dataset, accepted: DataFrame, key_ranges: Mapping[str, tuple[Any, Any]]
) -> int:
    """Merge by key; returns the table's version. Doing it again changes no row. The keys of all accepted rows are
    within `key_ranges`. Hold the dataset."""
    if has_none(table, key_ranges):  # rows of a new day, mostly
        accepted.write.format("delta").mode("append").option("mergeSchema", "true").save(table.path)
    else:
        accepted.createOrReplaceTempView(_VIEW)
        table.merge_or_create(
            spark, merge_sql(table, dataset, key_ranges), accepted, dataset.partitions, _looked_for(dataset)
        )
    return table.written_version(spark)


def _looked_for(dataset: Dataset) -> list[str]:
    """The columns by which files are skipped, in a new table: keys, times, what it is laid out by, and the ingestion.
    The least and greatest of the others would take a tenth of the write."""
    times = (name for name, column in dataset.columns.items() if canonical(column.type) in {"date", "timestamp"})
    wanted = dict.fromkeys((*dataset.keys, *times, *dataset.zorder, "_ingest_id"))
    return [name for name in wanted if name not in dataset.partitions]


def merge_sql(table: Table, dataset: Dataset, key_ranges: Mapping[str, tuple[Any, Any]]) -> str:
    """The MERGE: a row gives way only to a later ingestion's, or to one that comes later in its own file (which then
    was in quarantine until now). By the ranges Delta knows which files need not be read."""
    matched = " AND ".join(f"s.{ident(name)} = t.{ident(name)}" for name in dataset.keys)
    matched += within(key_ranges, "t")
    return (
        f"MERGE WITH SCHEMA EVOLUTION INTO {table.sql} t USING {_VIEW} s ON {matched} "
        "WHEN MATCHED AND (s._ingested_at > t._ingested_at "
        "OR (s._ingest_id = t._ingest_id AND s._row_number > t._row_number)) THEN UPDATE SET * "
        "WHEN NOT MATCHED THEN INSERT *"
    )
