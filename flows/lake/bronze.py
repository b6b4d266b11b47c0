"""Bronze: the file's records as they were read, every value a string, with where they came from.

Appending the same content of the same place again adds nothing: Delta itself remembers the ingestion (`txnAppId`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows.lake.datasets import INGESTED_AT, Dataset
from flows.lake.errors import SourceError
from flows.lake.expressions import FAULT, METADATA, RESCUED
from flows.lake.staging import StagedFile
from flows.lake.tables import Table, ident, text, unglobbed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


_POSITION = "_position"


@dataclass(frozen=True)
class Origin:
    """What started the ingestion: the run and the event behind it."""

    run_id: str | None = None
    event_id: str | None = None


def append_file(spark: SparkSession, table: Table, dataset: Dataset, staged: StagedFile, origin: Origin) -> int:
    """Append the staged file once; returns the table's version. Raises SourceError if a column is missing."""
    missing = dataset.missing_columns(staged.header)
    if missing:
        raise SourceError(
            f"{staged.uri}: column {', '.join(missing)} of dataset {dataset.name!r} is missing; "
            f"the file has: {', '.join(staged.header)}"
        )
    read = _read_csv if staged.layout == "csv" else _read_records
    records = read(spark, dataset, staged).selectExpr(*bronze_columns(dataset, staged, origin, _now()))
    (
        records.write.format("delta")
        .mode("append")
        .option("mergeSchema", "true")
        .option("txnAppId", f"bronze:{staged.ingest_id}")
        .option("txnVersion", "1")
        .save(table.path)
    )
    return table.written_version(spark)


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
        INGESTED_AT: f"TIMESTAMP {text(now.isoformat())}",
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


def _location(staged: StagedFile) -> str:
    return "file:" + unglobbed(str(staged.path))


def _now() -> datetime:
    return datetime.now(UTC)
