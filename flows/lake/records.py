"""The records of one ingestion in Bronze, read without Spark: a column costs what it holds, and no job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.lake.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.dataset import Dataset, Expression


@dataclass(frozen=True)
class Records:
    """What `condition` selects of a table, in the order of nothing."""

    rows: Dataset
    condition: Expression

    @property
    def schema(self) -> pa.Schema:
        return self.rows.schema

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """These columns, so many rows at a time that memory stays small whatever the file's size."""
        yield from self.rows.to_batches(columns=list(columns), filter=self.condition, batch_readahead=4)

    def first(self, columns: Sequence[str]) -> pa.Table:
        """One of them."""
        scanner = self.rows.scanner(
            columns=list(columns),
            filter=self.condition,
            batch_size=1024,
            batch_readahead=1,
            fragment_readahead=1,
            use_threads=False,
        )
        return scanner.head(1)

    def table(self, columns: Sequence[str] | None = None, where: Expression | None = None) -> pa.Table:
        """Those that meet another condition, too; for a few of them, as all are held in memory."""
        condition = self.condition if where is None else self.condition & where
        return self.rows.to_table(columns=None if columns is None else list(columns), filter=condition)


def of_ingestion(table: Table, ingest_id: str) -> Records | None:
    """The records of an ingestion; None where only Spark reads the table."""
    from pyarrow.compute import field

    opened = table.opened()
    return None if opened is None else Records(opened.to_pyarrow_dataset(), field("_ingest_id") == ingest_id)
