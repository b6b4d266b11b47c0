"""Bronze: the file's records as they came, each value in its column's type if that holds it, with where they came from.

Appending the same content of the same place again adds nothing: Delta itself remembers the ingestion (`txnAppId`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows.lake.bronze_columns import Append, append_columns
from flows.lake.datasets import INGESTED_AT, Dataset
from flows.lake.errors import SourceError
from flows.lake.expressions import FAULT, METADATA, PLAIN, POSITION, RESCUED, RULES, rules_mark
from flows.lake.judging import judged_by, with_verdict
from flows.lake.readers import read_staged
from flows.lake.staging import StagedFile
from flows.lake.tables import Table, ident, instant, text

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

# Bronze is read by ingestion: statistics of its other columns would cost time and skip nothing.
_STATISTICS = "_ingest_id"


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
    now = datetime.now(UTC)
    read = read_staged(spark, dataset, staged)
    plain = [name for name in read.columns if name.startswith(PLAIN)]
    records = read.selectExpr(*bronze_columns(dataset, staged, origin, now), *plain)
    before = table.version(spark)
    there = {} if before is None else dict(table.read(spark).dtypes)
    judged = with_verdict(dataset, records, there, with_rules=with_rules)
    application = f"bronze:{staged.ingest_id}"
    if staged.layout == "columns" and table.takes_plain_writes():
        same = _same_in_each(staged, origin, now, rules_mark(dataset, with_rules=with_rules))
        append = Append(table, application, _STATISTICS)
        append_columns(append, staged, judged, dataset.canonical_names(staged.header), same)
    else:
        _append_by_spark(table, judged, application)
    version = table.written_version(spark)
    if version != before:
        return Appended(version, True)
    # It was there already, perhaps by other rules.
    records = ingested(spark, table, staged.ingest_id)
    return Appended(version, judged_by(dataset, records, with_rules=with_rules))


def _append_by_spark(table: Table, judged: DataFrame, application: str) -> None:
    (
        judged.write.format("delta")
        .mode("append")
        .option("mergeSchema", "true")
        .option("txnAppId", application)
        .option("txnVersion", "1")
        .option("delta.dataSkippingStatsColumns", _STATISTICS)
        .save(table.path)
    )


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
        **{name: text(value) for name, value in _where_from(staged, origin).items()},
        "_row_number": POSITION,
    }
    metadata = [f"{value} AS {name}" for name, value in values.items()]
    return [*columns, *map(ident, extra), RESCUED, FAULT, *metadata]


def _where_from(staged: StagedFile, origin: Origin) -> dict[str, str | None]:
    return {
        "_source_file": staged.uri,
        "_source_sha256": staged.sha256,
        "_event_id": origin.event_id,
        "_run_id": origin.run_id,
        "_ingest_id": staged.ingest_id,
    }


def _same_in_each(staged: StagedFile, origin: Origin, now: datetime, rules: str) -> dict[str, pa.Scalar]:
    """The columns that are the same in each record of a file that was staged as columns: it has no faulty ones."""
    import pyarrow as pa

    texts = {RESCUED: None, FAULT: None, **_where_from(staged, origin), RULES: rules}
    times = {INGESTED_AT: pa.scalar(now, pa.timestamp("us", "UTC"))}
    return {name: pa.scalar(value, pa.string()) for name, value in texts.items()} | times
