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
        """One of them; raises StopIteration if there is none. `columns` are all that the condition names."""
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile

        def found() -> Iterator[pa.Table]:
            # A dataset would decode whole row groups before it gives one row.
            for fragment in self.rows.get_fragments(filter=self.condition):
                with fragment.open() as source, ParquetFile(source) as file:
                    for batch in file.iter_batches(1024, columns=list(columns)):
                        yield pa.Table.from_batches([batch]).filter(self.condition)

        row = next(rows for rows in found() if rows.num_rows).slice(0, 1).select(list(columns))
        return row.cast(pa.schema([self.schema.field(name) for name in columns]))

    def table(self, columns: Sequence[str] | None = None, where: Expression | None = None) -> pa.Table:
        """Those that meet another condition, too; for a few of them, as all are held in memory."""
        condition = self.condition if where is None else self.condition & where
        return self.rows.to_table(columns=None if columns is None else list(columns), filter=condition)


def of_ingestion(table: Table, ingest_id: str) -> Records | None:
    """The records of an ingestion; None where only Spark reads the table."""
    from pyarrow.compute import field

    opened = table.opened()
    return None if opened is None else Records(opened.to_pyarrow_dataset(), field("_ingest_id") == ingest_id)
