"""Quarantine: records that broke a rule, as they came, with the names of all the rules they broke."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.lake.datasets import INGESTED_AT, Dataset
from flows.lake.expressions import FAULT, QUARANTINED
from flows.lake.tables import Table, is_missing, text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def put(spark: SparkSession, table: Table, dataset: Dataset, judged: DataFrame, ingest_id: str, expected: int) -> int:
    """Make the ingestion's part of the table what the gate decided; returns its number of records.

    Doing it again changes nothing. After a change of the rules the part is replaced as a whole.
    """
    held = _held(spark, table, ingest_id, dataset.version)
    if held == (expected, 0):
        return expected
    rows = judged.where(f"_fate = '{QUARANTINED}'").selectExpr(
        "_raw_record AS raw_record",
        "_broken AS failed_rules",
        f"{FAULT} AS fault",
        f"{text(dataset.version)} AS rules_version",
        "_source_file",
        "_source_sha256",
        "_event_id",
        "_run_id",
        "_ingest_id",
        "_row_number",
        INGESTED_AT,
    )
    writer = rows.write.format("delta").option("mergeSchema", "true")
    if held == (0, 0):
        writer.mode("append").save(table.path)
    else:
        writer.mode("overwrite").option("replaceWhere", f"_ingest_id = {text(ingest_id)}").save(table.path)
    return sum(_held(spark, table, ingest_id, dataset.version))


def _held(spark: SparkSession, table: Table, ingest_id: str, rules_version: str) -> tuple[int, int]:
    """How many records of the ingestion are there, by these rules and by others."""
    by_these = f"rules_version = {text(rules_version)}"
    try:
        row = spark.sql(
            f"SELECT count_if({by_these}) AS these, count_if(NOT {by_these}) AS others FROM {table.sql} "
            f"WHERE _ingest_id = {text(ingest_id)}"
        ).collect()[0]
    except Exception as error:
        if is_missing(error):
            return 0, 0
        raise
    return int(row["these"]), int(row["others"])
