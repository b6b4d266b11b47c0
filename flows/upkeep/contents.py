"""What a version of a table says: a fingerprint for each column and for the rows, whatever the files and their order.

A fingerprint is the sum of 64-bit hashes of the values as text, so that rows may come in any order and in any batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    from deltalake import DeltaTable
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

_MIX = 1_000_003


class Content(BaseModel):
    """Row count, fingerprint of each column, and of the rows as wholes (which sees values that changed places)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    columns: dict[str, str]
    row_sum: str

    def difference(self, other: Content) -> str | None:
        """What differs, in words; None if nothing does."""
        if self.rows != other.rows:
            return f"{self.rows} rows became {other.rows}"
        if set(self.columns) != set(other.columns):
            return f"columns {', '.join(sorted(self.columns))} became {', '.join(sorted(other.columns))}"
        changed = [name for name, fingerprint in self.columns.items() if fingerprint != other.columns[name]]
        if changed:
            return f"other values in column {', '.join(changed)}"
        return "values changed places between rows" if self.row_sum != other.row_sum else None


class Shape(BaseModel):
    """What a reader and a writer must know of a table: its Delta schema as JSON, and the protocol it asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: str
    reader_version: int
    writer_version: int
    features: tuple[str, ...] = ()

    def difference(self, other: Shape) -> str | None:
        """What differs, in words; None if nothing does."""
        if self.fields != other.fields:
            return f"the schema {self.fields} became {other.fields}"
        if self != other:
            return f"the protocol ({self._protocol}) became ({other._protocol})"
        return None

    @property
    def _protocol(self) -> str:
        return f"reader {self.reader_version}, writer {self.writer_version}, {list(self.features)}"


def content_of(table: DeltaTable) -> Content:
    """Read the whole version that was opened, a batch at a time."""
    import numpy as np

    dataset = table.to_pyarrow_dataset()
    sums = dict.fromkeys(dataset.schema.names, 0)
    rows = row_sum = 0
    for batch in dataset.to_batches():
        whole = np.zeros(batch.num_rows, dtype=np.uint64)
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            hashes = _hashes(column)
            sums[name] += int(hashes.sum(dtype=np.uint64))
            whole = whole * np.uint64(_MIX) ^ hashes
        rows, row_sum = rows + batch.num_rows, row_sum + int(whole.sum(dtype=np.uint64))
    return Content(rows=rows, columns={name: _short(total) for name, total in sums.items()}, row_sum=_short(row_sum))


def shape_of(table: DeltaTable) -> Shape:
    """Schema and protocol of the version that was opened."""
    protocol = table.protocol()
    features = {*(protocol.reader_features or ()), *(protocol.writer_features or ())}
    return Shape(
        fields=table.schema().to_json(),
        reader_version=protocol.min_reader_version,
        writer_version=protocol.min_writer_version,
        features=tuple(sorted(map(str, features))),
    )


def _hashes(column: Any) -> Hashes:
    """One hash per value. Each distinct value is hashed once; NULL has a hash of its own."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    try:
        words = column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # lists, structs, binary
        words = pa.array([None if value is None else repr(value) for value in column.to_pylist()], pa.string())
    encoded = words.dictionary_encode()
    distinct = encoded.dictionary.to_numpy(zero_copy_only=False)
    hashed = np.append(pd.util.hash_array(distinct, categorize=False), np.uint64(0))
    places = encoded.indices.fill_null(len(distinct)).to_numpy(zero_copy_only=False)
    found: Hashes = hashed[places]
    return found


def _short(total: int) -> str:
    return f"{total % 2**64:016x}"
