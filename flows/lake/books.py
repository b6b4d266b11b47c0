"""The books of an ingestion: every row that went in is in Silver, in quarantine, or a dropped one, and it is checked.

The counts of the gate are compared with what the tables hold. The ledger keeps one line per finished ingestion; it
also tells a run over a directory which files are done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.lake.datasets import Dataset
from flows.lake.errors import BooksError
from flows.lake.quality import GateResult
from flows.lake.session import SMALL_BYTES
from flows.lake.staging import StagedFile
from flows.lake.tables import Table, ident, is_missing, text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COMPLETE, REFUSED = "complete", "refused"


@dataclass(frozen=True)
class Books:
    """Rows in, and where they are. `silver` and `quarantined` are counted in the tables, not taken from the gate."""

    rows_in: int
    silver: int
    quarantined: int
    dropped: int
    duplicates: int

    @property
    def rows_out(self) -> int:
        return self.silver + self.quarantined + self.dropped + self.duplicates

    def check(self) -> None:
        """Raise BooksError with the numbers unless they balance."""
        if self.rows_in != self.rows_out:
            raise BooksError(
                f"the books do not balance: {self.rows_in} rows in, {self.rows_out} out = {self.silver} in Silver "
                f"+ {self.quarantined} quarantined + {self.dropped} dropped + {self.duplicates} duplicates"
            )


def take_stock(
    spark: SparkSession,
    silver: Table,
    dataset: Dataset,
    ingest_id: str,
    gate: GateResult,
    accepted: DataFrame,
    *,
    quarantined: int,
) -> Books:
    """Count the ingestion's rows in Silver; `quarantined` was counted in its table."""
    in_silver = _count(spark, silver, ingest_id)
    # More than were accepted means that earlier rules let in rows which these do not: then the books must not balance.
    if in_silver < gate.accepted:
        # A newer ingestion has since taken over some of the keys; they are still there, under its name.
        accepted.createOrReplaceTempView("books_accepted")
        same = " AND ".join(f"s.{ident(key)} = t.{ident(key)}" for key in dataset.keys)
        found = spark.sql(
            f"SELECT count(*) AS n FROM books_accepted s JOIN {silver.sql} t ON {same} "
            "WHERE t._ingested_at >= s._ingested_at"
        )
        in_silver = int(found.collect()[0]["n"])
    return Books(gate.rows, in_silver, quarantined, gate.dropped, gate.duplicates)


def record(
    spark: SparkSession,
    ledger: Table,
    dataset: Dataset,
    staged: StagedFile,
    gate: GateResult,
    outcome: str,
    run_id: str | None,
) -> None:
    """Write the ingestion's line, once for each outcome under each definition."""
    line = {
        "ingest_id": text(staged.ingest_id),
        "dataset": text(dataset.name),
        "outcome": text(outcome),
        "source_uri": text(staged.uri),
        "source_sha256": text(staged.sha256),
        "run_id": text(run_id),
        "rules_version": text(dataset.version),
        "rules_applied": str(gate.rules_applied).lower(),
        "rows_in": f"{gate.rows}L",
        "silver": f"{gate.accepted}L",
        "quarantined": f"{gate.quarantined}L",
        "dropped": f"{gate.dropped}L",
        "duplicates": f"{gate.duplicates}L",
        "finished_at": "current_timestamp()",
    }
    row = spark.sql("SELECT " + ", ".join(f"{value} AS {name}" for name, value in line.items()))
    (
        row.write.format("delta")
        .mode("append")
        .option("mergeSchema", "true")
        .option("txnAppId", f"ledger:{staged.ingest_id}:{dataset.version}:{outcome}:{gate.rules_applied}")
        .option("txnVersion", "1")
        .save(ledger.path)
    )


def settled(spark: SparkSession, ledger: Table) -> set[str]:
    """The ingestions that need no further run: complete, or refused and reported."""
    try:
        rows = spark.sql(f"SELECT DISTINCT ingest_id FROM {ledger.sql}").collect()
    except Exception as error:
        if is_missing(error):
            return set()
        raise
    return {str(row["ingest_id"]) for row in rows}


def _count(spark: SparkSession, table: Table, ingest_id: str) -> int:
    from pyarrow.compute import field

    rows = table.opened()
    if rows is not None and (table.size_bytes() or 0) <= SMALL_BYTES:
        # A tenth of the time that Spark takes, and another implementation than the one that wrote.
        return int(rows.to_pyarrow_dataset().count_rows(filter=field("_ingest_id") == ingest_id))
    found = spark.sql(f"SELECT count(*) AS n FROM {table.sql} WHERE _ingest_id = {text(ingest_id)}")
    return int(found.collect()[0]["n"])
