"""How Spark reads a staged file, by the layout of its copy: each record's fields as text, in the order of the header.

Beside them `_rescued_data` and `_fault` of a record that cannot be a row, its `_position` in the file, and of a file
that was staged as columns the values that are plain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.lake.csv_columns import plain_types
from flows.lake.datasets import Dataset
from flows.lake.expressions import FAULT, PLAIN, POSITION, RESCUED
from flows.lake.parquet_staging import nested_fields
from flows.lake.staging import StagedFile
from flows.lake.tables import ident, text, unglobbed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def read_staged(spark: SparkSession, dataset: Dataset, staged: StagedFile) -> DataFrame:
    """The records of a staged file. Lazy."""
    return _READERS[staged.layout](spark, dataset, staged)


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
            f"monotonically_increasing_id() + 1 AS {POSITION}",
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
            f"n AS {POSITION}",
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
        f"monotonically_increasing_id() + 1 AS {POSITION}",
    )


def _read_columns(spark: SparkSession, dataset: Dataset, staged: StagedFile) -> DataFrame:
    names = dataset.canonical_names(staged.header)
    types = dict.fromkeys(names, "string")
    types |= {PLAIN + name: type_ for name, type_ in plain_types(dataset, names).items()}
    return (
        spark.read.schema(", ".join(f"{ident(n)} {type_}" for n, type_ in {**types, POSITION: "bigint"}.items()))
        .option("datetimeRebaseMode", "CORRECTED")  # days before 1582 are written as they are meant
        .parquet(_location(staged))
        .selectExpr("*", f"CAST(NULL AS STRING) AS {RESCUED}", f"CAST(NULL AS STRING) AS {FAULT}")
    )


def _location(staged: StagedFile) -> str:
    return "file:" + unglobbed(str(staged.path))


_READERS = {"csv": _read_csv, "records": _read_records, "parquet": _read_parquet, "columns": _read_columns}
