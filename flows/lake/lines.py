"""A few lines at the end of a table, each once. Where this process reaches the table itself it writes them without
Spark, which takes a second for what is done in a few hundredths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.lake.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


def append_once(spark: SparkSession, table: Table, lines: pa.Table, application: str) -> None:
    """Append the lines, unless the table's log says that this application has done so. Hold the dataset."""
    if table.for_readers is not None:
        _append_here(table, lines, application)
        return
    (
        spark.createDataFrame(lines)
        .write.format("delta")
        .mode("append")
        .option("mergeSchema", "true")
        .option("txnAppId", application)
        .option("txnVersion", "1")
        .save(table.path)
    )


def _append_here(table: Table, lines: pa.Table, application: str) -> None:
    from deltalake import CommitProperties, Transaction, write_deltalake

    there = table.opened()
    if there is not None and there.transaction_version(application) is not None:
        return
    location, options = table.for_readers or (table.path, {})
    done = CommitProperties(app_transactions=[Transaction(application, 1)])
    write_deltalake(
        location, lines, mode="append", schema_mode="merge", storage_options=options, commit_properties=done
    )
