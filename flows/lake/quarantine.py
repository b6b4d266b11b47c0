"""Quarantine: records that broke a rule, as they came, with the names of all the rules they broke."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.lake.datasets import Dataset
from flows.lake.expressions import BROKEN, FAULT, METADATA, RAW_RECORD, breaks_any, row_checks
from flows.lake.quality import GateResult
from flows.lake.records import Records, of_ingestion
from flows.lake.tables import Table, is_missing, text
from flows.lake.verdicts import breaking

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

# Up to so many records that broke a check are a few: some 30 MB.
_FEW = 50_000
# Its columns, and those of Bronze that they are; beside them `rules_version`.
_COLUMNS_OF_A_RECORD = {"raw_record": RAW_RECORD, "failed_rules": BROKEN, "fault": FAULT, "_row_number": "_row_number"}
_COLUMNS_OF_A_FILE = [name for name in METADATA if name not in _COLUMNS_OF_A_RECORD]
_COLUMNS = {**_COLUMNS_OF_A_RECORD, **{name: name for name in _COLUMNS_OF_A_FILE}}


def put(
    spark: SparkSession,
    table: Table,
    dataset: Dataset,
    judged: DataFrame,
    ingest_id: str,
    gate: GateResult,
    records: Records | None = None,
) -> int:
    """Make the ingestion's part of the table what the gate decided; returns its number of records.

    Doing it again changes nothing. After a change of the rules the part is replaced as a whole. `records`: the same in
    Bronze, with verdicts by these rules; a few of them need no job of Spark.
    """
    held = _held(spark, table, ingest_id, dataset.version)
    if held == (gate.quarantined, 0):
        return gate.quarantined
    if held == (0, 0):
        few = None if records is None or gate.rows_failed > _FEW else _from_bronze(records, dataset, gate)
        if few is not None and table.for_readers is not None:
            from deltalake import write_deltalake

            location, options = table.for_readers
            write_deltalake(location, few, mode="append", schema_mode="merge", storage_options=options)
        else:
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
    columns = {**_COLUMNS, "rules_version": text(dataset.version)}
    return judged.where(breaks_any(checks, "quarantine")).selectExpr(*(f"{c} AS {name}" for name, c in columns.items()))


def _from_bronze(records: Records, dataset: Dataset, gate: GateResult) -> pa.Table | None:
    """What `_quarantined` yields, from Bronze; None if it does not keep all of the records as they came, as tables that
    older versions wrote."""
    import pyarrow as pa
    from pyarrow.compute import field

    if not {RAW_RECORD, FAULT} <= set(records.schema.names):
        return None
    checks = row_checks(dataset, with_rules=gate.rules_applied)
    found = records.table(list(_COLUMNS_OF_A_RECORD.values()), field(BROKEN).is_valid())
    batches = [batch.filter(pa.array(breaking(batch, checks, "quarantine"))) for batch in found.to_batches()]
    rows = pa.Table.from_batches(batches, found.schema).rename_columns(list(_COLUMNS_OF_A_RECORD))
    if rows.column("raw_record").null_count:
        return None
    # One commit wrote all of the file: what says where it came from is read of one record.
    origin = records.first(_COLUMNS_OF_A_FILE)
    same = {name: pa.repeat(origin.column(name)[0], rows.num_rows) for name in _COLUMNS_OF_A_FILE}
    for name, values in {**same, "rules_version": pa.array([dataset.version] * rows.num_rows, pa.string())}.items():
        rows = rows.append_column(name, values)
    return rows


def _held(spark: SparkSession, table: Table, ingest_id: str, rules_version: str) -> tuple[int, int]:
    """How many records of the ingestion are there, by these rules and by others."""
    if table.for_readers is not None:
        records = of_ingestion(table, ingest_id)
        found = records.table(["rules_version"]).column(0).to_pylist() if records else []
        these = found.count(rules_version)
        return these, len(found) - these
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
