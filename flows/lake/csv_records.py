"""Plain CSV as Parquet, every value as text: what Spark then reads in a fraction of the time that its CSV reader takes.

Plain is a file without quotes, read with no option but the separator: there a record is a line, and both readers find
the same records. Whatever else there is stays with Spark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.lake.staging import StagedFile

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

# Bytes that are parsed at once; a longer line, and more odd records than this, are left to Spark.
_BLOCK = 8 << 20
_MOST_ODD = 10_000
# One way for values of a column that a record does not have, as in Spark.
_ABSENT = [""]


class _NotPlainError(Exception):
    """The file is Spark's to read."""


def as_parquet(
    staged: StagedFile, names: Sequence[str], options: Mapping[str, str], rescued: str, position: str
) -> Path | None:
    """The records beside the staged copy: `names`, the whole record in `rescued` if it has more or fewer fields than
    the header, and its number in the file. None for a file that is not plain."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    separator = options.get("sep", ",")
    if staged.has_quotes or set(options) - {"sep"} or len(separator) != 1 or len(names) == 1:
        return None
    target = staged.path.with_suffix(".parquet")
    schema = pa.schema([*((name, pa.string()) for name in (*names, rescued)), (position, pa.int64())])
    try:
        with pq.ParquetWriter(target, schema) as writer:
            for table in _tables(staged.path, list(names), separator, schema):
                writer.write_table(table)
    except (_NotPlainError, pa.ArrowInvalid):
        target.unlink(missing_ok=True)
        return None
    return target


def _tables(path: Path, names: list[str], separator: str, schema: pa.Schema) -> Iterator[pa.Table]:
    """The records with as many fields as the header, a block at a time, and at last the odd ones."""
    import pyarrow as pa

    odd: dict[int, str] = {}
    following = 1
    for batch in _batches(path, names, separator, odd):
        numbers = _places(following, batch.num_rows, odd)
        following = int(numbers[-1]) + 1 if len(numbers) else following
        nothing = pa.nulls(batch.num_rows, pa.string())
        yield pa.Table.from_arrays([*batch.columns, nothing, pa.array(numbers)], schema=schema)
    records = [(place, text) for place, text in odd.items() if text.strip()]
    fields = [(text.split(separator) + [""] * len(names))[: len(names)] for _, text in records]
    columns = [pa.array([record[n] or None for record in fields], pa.string()) for n in range(len(names))]
    texts, places = [text for _, text in records], [place for place, _ in records]
    yield pa.Table.from_arrays([*columns, pa.array(texts, pa.string()), pa.array(places, pa.int64())], schema=schema)


def _batches(path: Path, names: list[str], separator: str, odd: dict[int, str]) -> Iterator[pa.RecordBatch]:
    """The records in the order of the file; those with more or fewer fields are put into `odd` by their place, before
    or with the batch that they stand in."""
    import pyarrow as pa
    from pyarrow import csv

    def note(row: Any) -> str:
        if len(odd) >= _MOST_ODD:
            return "error"
        odd[row.number - 1] = row.text
        return "skip"

    with path.open("rb") as file:
        if not file.readline().removeprefix(b"\xef\xbb\xbf").strip():
            raise _NotPlainError  # lines before the header
    yield from csv.open_csv(
        path,
        read_options=csv.ReadOptions(use_threads=False, skip_rows=1, column_names=names, block_size=_BLOCK),
        parse_options=csv.ParseOptions(delimiter=separator, quote_char=False, invalid_row_handler=note),
        convert_options=csv.ConvertOptions(
            column_types={name: pa.string() for name in names}, strings_can_be_null=True, null_values=_ABSENT
        ),
    )


def _places(first: int, count: int, odd: dict[int, str]) -> NDArray[np.int64]:
    """The numbers of so many records from `first` on, those of odd ones left out."""
    import numpy as np

    skipped = np.array([place for place in odd if place >= first], np.int64)
    everything = np.arange(first, first + count + len(skipped), dtype=np.int64)
    return np.setdiff1d(everything, skipped, assume_unique=True)[:count]
