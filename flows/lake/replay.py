"""The way out of quarantine: records are judged again by the rules as they are now, and what passes goes on to Silver.

What still breaks a rule stays, with the rules that it breaks now. The part of one file is replaced in one commit, last:
until then everything may be done again, and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.lake import bronze, quality, quarantine, silver
from flows.lake.datasets import Dataset
from flows.lake.errors import BooksError
from flows.lake.judging import judge
from flows.lake.quality import GateResult
from flows.lake.silver_types import kept_types
from flows.lake.tables import Table, ident, is_missing, text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_ROWS = "replay_rows"


@dataclass(frozen=True)
class Waiting:
    """What a file has in quarantine."""

    ingest_id: str
    source_uri: str
    source_sha256: str
    rows: int
    state: str

    @property
    def cause(self) -> str:
        """Names these records under the rules that put them there, whatever else is in the table: what a replay of them
        leaves is one thing, however often it is tried."""
        return f":replay:{self.state}"


@dataclass(frozen=True)
class Replayed:
    """What became of a file's records. `rows = merged + kept + dropped + superseded`; a record is superseded by a later
    one of the same key in its file."""

    waiting: Waiting
    merged: int
    kept: int
    dropped: int
    superseded: int
    gate: GateResult

    def check(self) -> None:
        """Raise BooksError with the numbers unless every record is somewhere."""
        out = self.merged + self.kept + self.dropped + self.superseded
        if self.waiting.rows != out:
            raise BooksError(
                f"{self.waiting.source_uri}: {self.waiting.rows} records in quarantine were judged again, {out} came "
                f"out = {self.merged} in Silver + {self.kept} kept + {self.dropped} dropped + {self.superseded} "
                "superseded; the quarantine is as it was"
            )


def waiting(spark: SparkSession, table: Table, source_uri: str | None) -> list[Waiting]:
    """What is in quarantine by file, in the order of arrival."""
    of = "" if source_uri is None else f"WHERE _source_file = {text(source_uri)} "
    try:
        rows = spark.sql(
            "SELECT _ingest_id, _source_file, _source_sha256, count(*) AS n, min(data_ingestao) AS at, "
            "lower(hex(bit_xor(xxhash64(_row_number, rules_version)))) AS state "
            f"FROM {table.sql} {of}GROUP BY 1, 2, 3 ORDER BY at, 1"
        ).collect()
    except Exception as error:
        if is_missing(error):
            return []
        raise
    return [
        Waiting(row["_ingest_id"], row["_source_file"], row["_source_sha256"], row["n"], row["state"]) for row in rows
    ]


def judge_again(
    spark: SparkSession, bronze_table: Table, held: Table, dataset: Dataset, file: Waiting
) -> tuple[DataFrame, quality.Measured]:
    """The file's records that are in quarantine, with the verdict of the rules as they are now. Rules over a whole file
    do not apply to a part of it."""
    places = spark.sql(f"SELECT _row_number FROM {held.sql} WHERE _ingest_id = {text(file.ingest_id)}")
    records = bronze.ingested(spark, bronze_table, file.ingest_id).join(places, "_row_number", "left_semi")
    judged = judge(dataset, records, with_rules=True, judged=False)
    return judged, quality.measure(dataset, judged, with_rules=True)


def merge_passed(
    spark: SparkSession, table: Table, dataset: Dataset, judged: DataFrame, measured: quality.Measured, file: Waiting
) -> Replayed:
    """Merge what passes; returns what became of each record, checked. The quarantine is not touched yet."""
    gate = measured.gate
    accepted = quality.accepted(dataset, judged, measured)
    rows = silver.silver_rows(dataset, accepted, kept_types(table, dataset))
    if gate.accepted:
        silver.merge_accepted(spark, table, dataset, rows, measured.key_ranges)
    merged = _there(spark, table, dataset, rows) if gate.accepted else 0
    superseded = gate.duplicates + gate.accepted - merged
    replayed = Replayed(file, merged, gate.quarantined, gate.dropped, superseded, gate)
    replayed.check()
    return replayed


def keep_failing(spark: SparkSession, held: Table, dataset: Dataset, judged: DataFrame, replayed: Replayed) -> None:
    """Leave in quarantine what still breaks a rule, in one commit."""
    quarantine.replace(spark, held, dataset, judged, replayed.waiting.ingest_id, replayed.gate)


def _there(spark: SparkSession, table: Table, dataset: Dataset, rows: DataFrame) -> int:
    """How many of the rows Silver has, or had until a later file corrected them. A row of the same file under that key
    is another one, which came later in it."""
    rows.createOrReplaceTempView(_ROWS)
    same = " AND ".join(f"s.{ident(key)} = t.{ident(key)}" for key in dataset.keys)
    found = spark.sql(
        f"SELECT count(*) AS n FROM {_ROWS} s JOIN {table.sql} t ON {same} "
        "WHERE t._ingested_at >= s._ingested_at AND (t._ingest_id <> s._ingest_id OR t._row_number = s._row_number)"
    )
    return int(found.collect()[0]["n"])
