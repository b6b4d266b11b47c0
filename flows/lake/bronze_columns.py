"""Bronze from a file that was staged as columns: Spark judges the records, Arrow puts them together.

Of the twenty columns of a record Spark has to find out three or four. It writes those beside the staged file; here they
are joined with what is there already, row by row in the same order, and appended through deltalake: a third of the time
of Spark's own writer, which takes each value of each record in turn.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.lake.bronze_types import TEXT
from flows.lake.errors import LakeError
from flows.lake.expressions import PLAIN, POSITION
from flows.lake.staging import StagedFile
from flows.lake.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

_ROW_NUMBER = "_row_number"
_ROWS_AT_ONCE = 64 * 1024
# Spark shares a file among its tasks by these.
_ROWS_OF_A_GROUP = 256 * 1024


@dataclass(frozen=True)
class Append:
    """To which table, as whose doing, and with statistics of which columns if the table is new."""

    table: Table
    application: str
    statistics: str


def append_columns(
    append: Append, staged: StagedFile, judged: DataFrame, names: Iterable[str], same: Mapping[str, pa.Scalar]
) -> None:
    """Append the records, unless the table's log says that this application has done so. Hold the dataset.

    `judged` are the records as Bronze keeps them, `names` the columns of the file in its order, `same` what is the same
    in each record. Raises LakeError, with nothing appended, if Spark's rows are not the staged ones.
    """
    there = append.table.opened()
    if there is not None and there.transaction_version(append.application) is not None:
        return
    types = dict(judged.dtypes)
    taken = {name: name for name in names if types[name] == TEXT} | {_ROW_NUMBER: POSITION}
    taken |= {name: PLAIN + name for name, type_ in staged.plain.items() if types[name] == type_}
    found = [name for name in judged.columns if name not in taken and name not in same]
    beside = staged.path.with_suffix(".judged")
    try:
        rows = judged.select(_ROW_NUMBER, *found).write.mode("overwrite").option("compression", "none")
        rows.parquet(f"file:{beside}")
        _write(append, joined(staged.path, beside, judged.columns, taken, same), new=there is None)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write(append: Append, rows: Iterator[pa.Table], *, new: bool) -> None:
    import pyarrow as pa
    from deltalake import ColumnProperties, CommitProperties, Transaction, WriterProperties, write_deltalake

    first = next(rows)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from first.to_batches()
        for more in rows:
            yield from more.to_batches()

    # As Spark's writer finds out by trying: numbers are mostly too many for a dictionary.
    numbers = [field.name for field in first.schema if _is_number(field.type)]
    plainly = ColumnProperties(dictionary_enabled=False)
    location, options = append.table.for_readers or (append.table.path, {})
    write_deltalake(
        location,
        pa.RecordBatchReader.from_batches(first.schema, batches()),
        mode="append",
        schema_mode="merge",
        configuration={"delta.dataSkippingStatsColumns": append.statistics} if new else None,
        storage_options=options,
        writer_properties=WriterProperties(
            compression="SNAPPY",
            max_row_group_size=_ROWS_OF_A_GROUP,
            column_properties=dict.fromkeys(numbers, plainly),
        ),
        commit_properties=CommitProperties(app_transactions=[Transaction(append.application, 1)]),
    )


def joined(
    staged: Path, judged: Path, columns: Iterable[str], taken: Mapping[str, str], same: Mapping[str, pa.Scalar]
) -> Iterator[pa.Table]:
    """The records in the columns of Bronze, some at a time."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    columns = list(columns)
    with ParquetFile(staged) as file:
        as_staged = file.iter_batches(_ROWS_AT_ONCE, columns=list(taken.values()))
        for batch, found in _in_step(as_staged, _as_judged(judged)):
            if not found[_ROW_NUMBER].combine_chunks().equals(batch[POSITION]):
                raise LakeError(f"{judged}: Spark's rows are not in the order of the staged ones; nothing was written")
            values = {name: found[name] for name in found.column_names}
            values |= {name: batch[source] for name, source in taken.items()}
            values |= {name: pa.repeat(value, batch.num_rows) for name, value in same.items()}
            yield pa.table({name: values[name] for name in columns})


def _in_step(
    batches: Iterable[pa.RecordBatch], others: Iterator[pa.Table]
) -> Iterator[tuple[pa.RecordBatch, pa.Table]]:
    """Each batch with as many rows of the others; raises LakeError unless there are as many."""
    import pyarrow as pa

    rest: pa.Table | None = None
    for batch in batches:
        while rest is None or rest.num_rows < batch.num_rows:
            more = next(others, None)
            if more is None:
                raise LakeError("Spark gave back fewer rows than were staged; nothing was written")
            rest = more if rest is None else pa.concat_tables([rest, more])
        yield batch, rest.slice(0, batch.num_rows)
        rest = rest.slice(batch.num_rows)
    if (rest is not None and rest.num_rows) or next(others, None) is not None:
        raise LakeError("Spark gave back more rows than were staged; nothing was written")


def _as_judged(judged: Path) -> Iterator[pa.Table]:
    """What Spark wrote, each task a file, in their order."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    for part in sorted(judged.glob("part-*.parquet")):
        with ParquetFile(part, coerce_int96_timestamp_unit="us") as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                fields = (pa.field(field.name, _as_in_delta(field.type)) for field in batch.schema)
                yield pa.Table.from_batches([batch]).cast(pa.schema(fields))


def _as_in_delta(type_: pa.DataType) -> pa.DataType:
    """Times as what they are, instants: Parquet's oldest kind of them does not say so. Lists as Spark's own writer
    declares them, of what may be NULL."""
    import pyarrow as pa

    if pa.types.is_timestamp(type_):
        return pa.timestamp("us", "UTC")
    return pa.list_(type_.value_type) if pa.types.is_list(type_) else type_


def _is_number(type_: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(type_) or pa.types.is_decimal(type_) or pa.types.is_floating(type_))
