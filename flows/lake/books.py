"""The books of an ingestion: every row that went in is in Silver, in quarantine, or a dropped one, and it is checked.

The counts of the gate are compared with what the tables hold. The ledger keeps one line per finished ingestion; it
also tells a run over a directory which files are done.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows.lake.datasets import Dataset
from flows.lake.errors import BooksError
from flows.lake.lines import append_once
from flows.lake.quality import GateResult
from flows.lake.tables import Table, ident, is_missing, text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COMPLETE, REFUSED = "complete", "refused"
# Up to so many bytes of a table its rows are counted here, beyond it by Spark.
_COUNTED_HERE = 1 << 30


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


@dataclass(frozen=True)
class Entry:
    """A line of the ledger. `cause` tells apart what may write one for the same file under the same definition."""

    ingest_id: str
    source_uri: str
    source_sha256: str
    run_id: str | None
    outcome: str
    rules_applied: bool
    books: Books
    cause: str = ""


def record(spark: SparkSession, ledger: Table, dataset: Dataset, entry: Entry) -> None:
    """Write the ingestion's line, once for each outcome under each definition."""
    import pyarrow as pa

    line = {
        "ingest_id": entry.ingest_id,
        "dataset": dataset.name,
        "outcome": entry.outcome,
        "source_uri": entry.source_uri,
        "source_sha256": entry.source_sha256,
        "run_id": entry.run_id,
        "rules_version": dataset.version,
        "rules_applied": entry.rules_applied,
        **asdict(entry.books),
        "finished_at": datetime.now(UTC),
    }
    types = {bool: pa.bool_(), int: pa.int64(), datetime: pa.timestamp("us", "UTC")}
    fields = [(name, types.get(type(value), pa.string())) for name, value in line.items()]
    application = f"ledger:{entry.ingest_id}:{dataset.version}:{entry.outcome}:{entry.rules_applied}{entry.cause}"
    append_once(spark, ledger, pa.Table.from_pylist([line], schema=pa.schema(fields)), application)


def latest(spark: SparkSession, ledger: Table, ingest_id: str) -> Books | None:
    """The books of a finished ingestion as they were last written; None without any."""
    try:
        rows = spark.sql(
            f"SELECT rows_in, silver, quarantined, dropped, duplicates FROM {ledger.sql} "
            f"WHERE ingest_id = {text(ingest_id)} AND outcome = {text(COMPLETE)} ORDER BY finished_at DESC LIMIT 1"
        ).collect()
    except Exception as error:
        if is_missing(error):
            return None
        raise
    return Books(**rows[0].asDict()) if rows else None


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
    if rows is not None and (table.size_bytes() or 0) <= _COUNTED_HERE:
        # A tenth of the time that Spark takes, and another implementation than the one that wrote.
        return int(rows.to_pyarrow_dataset().count_rows(filter=field("_ingest_id") == ingest_id))
    found = spark.sql(f"SELECT count(*) AS n FROM {table.sql} WHERE _ingest_id = {text(ingest_id)}")
    return int(found.collect()[0]["n"])
