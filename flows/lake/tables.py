"""Where tables are, how SQL names them, and which version they have. No business rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from datalab.runtime.s3_lake import delta_options, for_spark, in_s3
from datalab.runtime.settings import configuration
from flows.lake.errors import LakeError
from flows.lake.folders import Folder

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyspark.sql import DataFrame, SparkSession

_NOT_THERE = (
    "DELTA_TABLE_ONLY_OPERATION",
    "DELTA_MISSING_DELTA_TABLE",
    "DELTA_PATH_DOES_NOT_EXIST",
    "PATH_NOT_FOUND",
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_SCHEMA_NOT_SET",
)
# The writer version of Delta tables without features.
_PLAIN_WRITER = 2


@dataclass(frozen=True)
class Table:
    """A Delta table by its location."""

    path: str

    @property
    def sql(self) -> str:
        """How SQL names the table."""
        return f"delta.{ident(self.path)}"

    def read(self, spark: SparkSession) -> DataFrame:
        return spark.read.format("delta").load(self.path)

    @property
    def local(self) -> Path | None:
        """Its directory, if it is on this machine."""
        if self.path.startswith("file://"):
            return Path(unquote(self.path.removeprefix("file://")))
        return None if "://" in self.path else Path(self.path)

    @property
    def for_readers(self) -> tuple[str, dict[str, str]] | None:
        """Location and storage options for readers other than Spark; None if they do not reach it."""
        if self.local is not None:
            return str(self.local), {}
        if in_s3(self.path):
            return "s3://" + self.path.split("://", 1)[1], delta_options(configuration())
        return None

    def size_bytes(self) -> int | None:
        """What the newest version's files hold, 0 for no table; None where finding out would cost Spark's time."""
        if self.for_readers is None:
            return None
        table = self.opened()
        return sum(table.get_add_actions().column("size_bytes").to_pylist()) if table else 0

    def row_count(self, spark: SparkSession) -> int:
        """Of the newest version, from the log where it is within reach."""
        opened = self.opened()
        return self.read(spark).count() if opened is None else int(opened.to_pyarrow_dataset().count_rows())

    @property
    def folder(self) -> Folder:
        """Where its files are."""
        return Folder(self.path)

    def takes_plain_writes(self) -> bool:
        """Whether a writer other than Spark may write the table: it is within reach, and asks no more of its writers
        than a plain one, such as a change feed, or is not there yet."""
        opened = self.opened()
        if opened is None:
            return self.for_readers is not None
        return opened.protocol().min_writer_version <= _PLAIN_WRITER

    def opened(self, version: int | None = None) -> DeltaTable | None:
        """A version, the newest without one, for a reader other than Spark; None if the table is not there or out of
        reach."""
        from deltalake import DeltaTable

        if self.for_readers is None:
            return None
        location, options = self.for_readers
        if not DeltaTable.is_deltatable(location, options):
            return None
        return DeltaTable(location, version=version, storage_options=options)

    def version(self, spark: SparkSession) -> int | None:
        """The newest version, or None if there is no table (a directory that a killed first write left is none)."""
        if self.for_readers is not None:  # a tenth of the time that Spark takes
            table = self.opened()
            return table.version() if table else None
        try:
            rows = spark.sql(f"DESCRIBE HISTORY {self.sql} LIMIT 1").collect()
        except Exception as error:
            if is_missing(error):
                return None
            raise
        return int(rows[0]["version"]) if rows else None

    def written_version(self, spark: SparkSession) -> int:
        """The version right after a write. The dataset's lock makes it ours."""
        version = self.version(spark)
        if version is None:
            raise LakeError(f"{self.path}: the table is gone right after it was written")
        return version

    def merge_or_create(
        self, spark: SparkSession, merge: str, rows: DataFrame, partitions: Iterable[str], statistics: Iterable[str]
    ) -> None:
        """Run the MERGE; a table that is not there yet is written instead, with statistics of these columns."""
        if self.for_readers is None or self.opened() is not None:
            try:
                spark.sql(merge).collect()
            except Exception as error:
                if not is_missing(error):
                    raise
            else:
                return
        (
            rows.write.format("delta")
            .mode("append")
            .option("delta.dataSkippingStatsColumns", ",".join(statistics))
            .partitionBy(*partitions)
            .save(self.path)
        )


@dataclass(frozen=True)
class Lake:
    """The layout of the lake below its root."""

    root: str
    home: Path

    def table(self, layer: str, name: str) -> Table:
        return Table(f"{for_spark(self.root).rstrip('/')}/{layer}/{name}")

    @property
    def work(self) -> Path:
        """Locks and staged copies: beside the tables if those are local, else in the lab's own directory."""
        local = Table(self.root).local
        return local / "_work" if local else self.home / "lake-work"


def is_missing(error: Exception) -> bool:
    """Whether Spark says that there is no such table."""
    from pyspark.errors import AnalysisException

    return isinstance(error, AnalysisException) and any(condition in str(error) for condition in _NOT_THERE)


def ident(name: str) -> str:
    """A quoted SQL identifier."""
    return f"`{name.replace('`', '``')}`"


def text(value: str | None) -> str:
    """A SQL string literal."""
    if value is None:
        return "CAST(NULL AS STRING)"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    # Spark replaces ${env:NAME} in any SQL text, also within literals, by what the server's environment holds.
    escaped = escaped.replace("$", "\\u0024")
    return f"'{escaped}'"


def instant(when: datetime, row: str) -> str:
    """A SQL timestamp, the same for each row; `row` is any condition over the row.

    Spark writes a literal time into the code that it generates: each file would have code of its own, to be compiled
    and warmed up again. An array is handed to the code from outside; by the condition it is not folded to its element.
    """
    literal = f"TIMESTAMP {text(when.isoformat())}"
    return f"get(array({literal}, {literal}), CAST({row} AS INT))"


def unglobbed(path: str) -> str:
    """A path as Spark's readers take it literally."""
    return "".join(f"\\{char}" if char in "{}[]*?\\" else char for char in path)
