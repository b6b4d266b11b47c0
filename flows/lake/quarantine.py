"""Quarantine: records that broke a rule, as they came, with the names of all the rules they broke."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.lake.datasets import INGESTED_AT, Dataset
from flows.lake.expressions import BROKEN, FAULT, breaks_any, row_checks
from flows.lake.quality import GateResult
from flows.lake.tables import Table, is_missing, text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def put(
    spark: SparkSession, table: Table, dataset: Dataset, judged: DataFrame, ingest_id: str, gate: GateResult
) -> int:
    """Make the ingestion's part of the table what the gate decided; returns its number of records.

    Doing it again changes nothing. After a change of the rules the part is replaced as a whole.
    """
    held = _held(spark, table, ingest_id, dataset.version)
    if held == (gate.quarantined, 0):
        return gate.quarantined
    if held == (0, 0):
        rows = _quarantined(dataset, judged, gate)
        rows.write.format("delta").option("mergeSchema", "true").mode("append").save(table.path)
    else:
        replace(spark, table, dataset, judged, ingest_id, gate)
    return sum(_held(spark, table, ingest_id, dataset.version))


def replace(
    spark: SparkSession, table: Table, dataset: Dataset, judged: DataFrame, ingest_id: str, gate: GateResult
) -> None:
    """Put what breaks a rule now in the place of the whole part of the ingestion."""
    (
        _quarantined(dataset, judged, gate)
        .write.format("delta")
        .option("mergeSchema", "true")
        .mode("overwrite")
        .option("replaceWhere", f"_ingest_id = {text(ingest_id)}")
        .save(table.path)
    )


def _quarantined(dataset: Dataset, judged: DataFrame, gate: GateResult) -> DataFrame:
    checks = row_checks(dataset, with_rules=gate.rules_applied)
    return judged.where(breaks_any(checks, "quarantine")).selectExpr(
        "_raw_record AS raw_record",
        f"{BROKEN} AS failed_rules",
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
