"""Bronze: the file's records as they came, each value in its column's type if that holds it, with where they came from.

Appending the same content of the same place again adds nothing: Delta itself remembers the ingestion (`txnAppId`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows.lake.datasets import INGESTED_AT, Dataset
from flows.lake.errors import SourceError
from flows.lake.expressions import FAULT, METADATA, RESCUED
from flows.lake.judging import judged_by, with_verdict
from flows.lake.parquet_staging import nested_fields
from flows.lake.staging import StagedFile
from flows.lake.tables import Table, ident, instant, text, unglobbed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


_POSITION = "_position"


@dataclass(frozen=True)
class Origin:
    """What started the ingestion: the run and the event behind it."""

    run_id: str | None = None
    event_id: str | None = None


@dataclass(frozen=True)
class Appended:
    """The table's version after the append. `judged`: the records bear the verdict of the rules that were given."""

    version: int
    judged: bool


def append_file(
    spark: SparkSession, table: Table, dataset: Dataset, staged: StagedFile, origin: Origin, *, with_rules: bool = True
) -> Appended:
    """Append the staged file once, each record with the verdict of the gate; hold the dataset.

    Raises SourceError if a column is missing.
    """
    missing = dataset.missing_columns(staged.header)
    if missing:
        raise SourceError(
            f"{staged.uri}: column {', '.join(missing)} of dataset {dataset.name!r} is missing; "
            f"the file has: {', '.join(staged.header)}"
        )
    records = _READERS[staged.layout](spark, dataset, staged).selectExpr(
        *bronze_columns(dataset, staged, origin, _now())
    )
    before = table.version(spark)
    there = {} if before is None else dict(table.read(spark).dtypes)
    (
        with_verdict(dataset, records, there, with_rules=with_rules)
        .write.format("delta")
        .mode("append")
        .option("mergeSchema", "true")
        .option("txnAppId", f"bronze:{staged.ingest_id}")
        .option("txnVersion", "1")
        # Bronze is read by ingestion: statistics of its other columns would cost time and skip nothing.
        .option("delta.dataSkippingStatsColumns", "_ingest_id")
        .save(table.path)
    )
    version = table.written_version(spark)
    if version != before:
        return Appended(version, True)
    # It was there already, perhaps by other rules.
    records = ingested(spark, table, staged.ingest_id)
    return Appended(version, judged_by(dataset, records, with_rules=with_rules))


def ingested(spark: SparkSession, table: Table, ingest_id: str) -> DataFrame:
    """The Bronze records of one ingestion."""
    return table.read(spark).where(f"_ingest_id = {text(ingest_id)}")


def bronze_columns(dataset: Dataset, staged: StagedFile, origin: Origin, now: datetime) -> list[str]:
    """The columns of Bronze: the dataset's, whatever else the file has, and the metadata."""
    present = dataset.canonical_names(staged.header)
    extra = [name for name in present if name not in dataset.columns]
    columns = [ident(n) if n in present else f"CAST(NULL AS STRING) AS {ident(n)}" for n in dataset.columns]
    values = dict.fromkeys(METADATA, "")
    values |= {
        INGESTED_AT: instant(now, f"{FAULT} IS NULL"),
        "_source_file": text(staged.uri),
        "_source_sha256": text(staged.sha256),
        "_event_id": text(origin.event_id),
        "_run_id": text(origin.run_id),
        "_ingest_id": text(staged.ingest_id),
        "_row_number": _POSITION,
    }
    metadata = [f"{value} AS {name}" for name, value in values.items()]
    return [*columns, *map(ident, extra), RESCUED, FAULT, *metadata]


def _read_csv(spark: SparkSession, dataset: Dataset, staged: StagedFile) -> DataFrame:
    names = [*dataset.canonical_names(staged.header), RESCUED]
    return (
        spark.read.schema(", ".join(f"{ident(name)} STRING" for name in names))
        .option("header", "true")
        # A record with more or fewer fields than the header is kept whole, not cut to fit.
        .option("columnNameOfCorruptRecord", RESCUED)
        .option("escape", '"')
        # Only quotes can hide a line break, and without them the file can be read in parallel.
        .option("multiLine", str(staged.has_quotes).lower())
        .options(**dataset.source.options)
        .csv(_location(staged))
        .selectExpr(
            "*",
            f"CASE WHEN {RESCUED} IS NOT NULL THEN 'more or fewer fields than the header' END AS {FAULT}",
            f"monotonically_increasing_id() + 1 AS {_POSITION}",
        )
    )


def _read_records(spark: SparkSession, dataset: Dataset, staged: StagedFile) -> DataFrame:
    names = dataset.canonical_names(staged.header)
    return (
        spark.read.schema("n BIGINT, f MAP<STRING, STRING>, r STRING, e STRING")
        .option("mode", "FAILFAST")  # we wrote it: whatever does not fit is a fault of ours
        .json(_location(staged))
        .selectExpr(
            *(f"f[{text(name)}] AS {ident(name)}" for name in names),
            f"r AS {RESCUED}",
            f"e AS {FAULT}",
            f"n AS {_POSITION}",
        )
    )


def _read_parquet(spark: SparkSession, dataset: Dataset, staged: StagedFile) -> DataFrame:
    names, nested = dataset.canonical_names(staged.header), nested_fields(staged.path)
    values = (
        f"to_json({ident(field)}) AS {ident(name)}"
        if field in nested
        else f"CAST({ident(field)} AS STRING) AS {ident(name)}"
        for field, name in zip(staged.header, names, strict=True)
    )
    return spark.read.parquet(_location(staged)).selectExpr(
        *values,
        f"CAST(NULL AS STRING) AS {RESCUED}",
        f"CAST(NULL AS STRING) AS {FAULT}",
        f"monotonically_increasing_id() + 1 AS {_POSITION}",
    )


def _location(staged: StagedFile) -> str:
    return "file:" + unglobbed(str(staged.path))


def _now() -> datetime:
    return datetime.now(UTC)


_READERS = {"csv": _read_csv, "records": _read_records, "parquet": _read_parquet}
