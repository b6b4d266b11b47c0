"""A regular CSV file as columns of Parquet: each field as text, and beside it its value where that is plain.

Spark reads these in a fraction of the time that it takes to read the text and cast it. Regular is a file without quotes
whose lines have as many fields as the header; any other stays text, for Spark's own reader. Both ways lead to the same
records (tests/integration/flows/test_csv_columns.py), zeros at the end of decimals apart, which Bronze does not keep.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flows.lake.bronze_types import kept_type
from flows.lake.errors import storage_full
from flows.lake.expressions import PLAIN, POSITION
from flows.lake.staging import StagedFile

if TYPE_CHECKING:
    import pyarrow as pa

    from flows.lake.datasets import Dataset
    from flows.lake.plain_values import PlainValues

# Text of a block; with its columns some four times as much is in memory for each thread.
_BLOCK = 8 << 20
_THREADS = 2


class _IrregularError(Exception):
    """The file is one for Spark's own reader."""


def as_columns(staged: StagedFile, dataset: Dataset) -> StagedFile:
    """The staged CSV file as columns, in its place; as it is if it is not regular. Raises StorageFullError."""
    import pyarrow as pa

    if staged.has_quotes or not _can_be_regular(staged, dataset):
        return staged
    target = staged.path.with_suffix(".parquet")
    layout = _Layout.of(dataset, staged.header)
    try:
        odd = _write(target, layout, _blocks(staged.path))
    except (_IrregularError, pa.ArrowInvalid):
        target.unlink(missing_ok=True)
        return staged
    except OSError as error:
        if full := storage_full(error, f"the columns of {staged.uri} in {target.parent}"):
            raise full from error
        raise
    staged.path.unlink()
    types = plain_types(dataset, layout.names)
    plain = {name: type_ for name, type_ in types.items() if name not in odd}
    return replace(staged, path=target, layout="columns", plain=plain)


def _can_be_regular(staged: StagedFile, dataset: Dataset) -> bool:
    """Spark has options by the dozen, and takes a line of nothing but blanks for none: of such files nothing is
    guessed here."""
    separator = dataset.source.separator
    plain = len(separator) == 1 and separator.isascii() and separator.isprintable() and separator not in ' "'
    return plain and not dataset.source.options.keys() - {"sep"} and len(staged.header) > 1


def plain_types(dataset: Dataset, names: Iterable[str]) -> dict[str, str]:
    """Of the columns with these names those whose values may be plain, with the type that they have then."""
    from flows.lake.plain_values import PlainValues

    kept = {name: kept_type(dataset.columns[name]) for name in names if name in dataset.columns}
    return {name: type_ for name, type_ in kept.items() if PlainValues.of(type_)}


@dataclass(frozen=True)
class _Layout:
    """The columns of a file: its fields in their order, as text, and the plain values of some."""

    names: Sequence[str]
    separator: str
    plain: dict[str, PlainValues]

    @classmethod
    def of(cls, dataset: Dataset, header: Sequence[str]) -> _Layout:
        from flows.lake.plain_values import PlainValues

        names = dataset.canonical_names(header)
        found = {name: PlainValues.of(type_) for name, type_ in plain_types(dataset, names).items()}
        return cls(names, dataset.source.separator, {name: plain for name, plain in found.items() if plain})

    @property
    def schema(self) -> pa.Schema:
        import pyarrow as pa

        texts = [(name, pa.string()) for name in self.names]
        return pa.schema([*texts, *((PLAIN + n, p.type) for n, p in self.plain.items()), (POSITION, pa.int64())])

    def table(self, first_row: int, block: bytes) -> pa.Table:
        """The rows of some whole lines; raises ArrowInvalid if one has another number of fields."""
        import numpy as np
        import pyarrow as pa
        from pyarrow import csv

        read = csv.read_csv(
            pa.BufferReader(block),
            csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=list(self.names)),
            csv.ParseOptions(delimiter=self.separator, quote_char=False),
            csv.ConvertOptions(
                check_utf8=False,  # it was when the file was copied
                column_types=dict.fromkeys(self.names, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
            ),
        ).combine_chunks()
        texts = dict(zip(self.names, (column.chunk(0) for column in read.columns), strict=True))
        values = [plain.values(texts[name]) for name, plain in self.plain.items()]
        rows = pa.array(np.arange(first_row, first_row + read.num_rows))
        return pa.Table.from_arrays([*texts.values(), *values, rows], schema=self.schema)


def _blocks(copy: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines after the header, some MB at a time, each with the number of its first row."""
    with copy.open("rb") as lines:
        header, row = lines.readline(_BLOCK), 1
        if not header.strip() or not _has_plain_ends(header):
            raise _IrregularError
        while block := lines.read(_BLOCK):
            rest = lines.readline(_BLOCK)
            block += rest
            # Arrow would take a mark of the byte order for its own; a line that goes on would be two.
            if not _has_plain_ends(block) or block.startswith(codecs.BOM_UTF8) or len(rest) == _BLOCK:
                raise _IrregularError
            yield row, block
            row += block.count(b"\n")


def _has_plain_ends(lines: bytes) -> bool:
    return lines.count(b"\r") == lines.count(b"\r\n")


def _write(target: Path, layout: _Layout, blocks: Iterator[tuple[int, bytes]]) -> set[str]:
    """The blocks in their order, some of them being read while one is written; returns the columns some of whose texts
    are not plain."""
    from pyarrow.parquet import ParquetWriter

    odd: set[str] = set()
    waiting: deque[Future[pa.Table]] = deque()
    # It is read at once, and only once or twice: what makes Parquet files small would only cost time.
    plainly = {"use_dictionary": False, "compression": "NONE", "write_statistics": False}
    with (
        ThreadPoolExecutor(_THREADS) as pool,
        ParquetWriter(target, layout.schema, store_decimal_as_integer=True, **plainly) as writer,
    ):

        def write() -> None:
            rows = waiting.popleft().result()
            odd.update(n for n in layout.plain if rows[n].null_count < rows[PLAIN + n].null_count)
            writer.write_table(rows)

        for row, block in blocks:
            waiting.append(pool.submit(layout.table, row, block))
            if len(waiting) > _THREADS:
                write()
        while waiting:
            write()
    return odd
