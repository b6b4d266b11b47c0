"""The verdicts of a file, counted where Bronze can be read without Spark: one pass over a few columns.

What is told here is what `flows.lake.quality` would ask Spark for, and nothing else.
"""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.lake.bronze_types import TEXT, canonical
from flows.lake.datasets import Dataset
from flows.lake.expressions import BROKEN, KEY_HASH, Check
from flows.lake.records import Records

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

# Up to so many rows their hashes (8 bytes each) are kept and sorted here: a fraction of a shuffle in Spark.
MOST_HASHES = 20_000_000
_BY_COUNT = re.compile(r"count\(\*\) (>=|<=|>|<|=) (\d+)|count\(\*\) BETWEEN ([\d.]+) AND ([\d.]+)|(true)", re.I)
_COMPARED = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "=": operator.eq}


@dataclass(frozen=True)
class Tally:
    """`counts` as `quality.gate_result` takes them; the key hashes of the rows that passed, None if they are too many;
    the least and greatest of those keys whose values can be told from what Bronze keeps."""

    counts: Mapping[str, int]
    hashes: NDArray[np.int64] | None
    ranges: Mapping[str, tuple[Any, Any]]


def tally(records: Records, dataset: Dataset, checks: Sequence[Check]) -> Tally:
    """Count what broke each check."""
    import numpy as np

    keys = {name: ends for name in dataset.keys if (ends := _Ends.of(dataset, name, records.schema))}
    count = Counter({f"row:{check.name}": 0 for check in checks})
    hashes: list[NDArray[np.int64]] | None = []
    for batch in records.batches([BROKEN, KEY_HASH, *keys]):
        held, dropped = breaking(batch, checks, "quarantine"), breaking(batch, checks, "drop")
        passed = ~(held | dropped)
        count.update(rows=batch.num_rows, quarantined=int(held.sum()), dropped=int((dropped & ~held).sum()))
        count.update(passed=int(passed.sum()), rows_failed=batch.num_rows - batch.column(BROKEN).null_count)
        count.update({f"row:{name}": rows for name, rows in _by_check(batch).items()})
        if hashes is not None:
            hashes.append(batch.column(KEY_HASH).to_numpy(zero_copy_only=False)[passed])
        if count["rows"] > MOST_HASHES:
            hashes = None
        for name, ends in keys.items():
            ends.add(batch.column(name), passed)
    # A file of Bronze has rows; none here would be a fault that the books tell.
    found = None if hashes is None else np.concatenate(hashes or [np.array([], np.int64)])
    totals = ("rows", "rows_failed", "quarantined", "dropped", "passed")
    return Tally({**dict.fromkeys(totals, 0), **count}, found, {n: e.found for n, e in keys.items() if e.found})


def breaking(batch: pa.RecordBatch, checks: Sequence[Check], *severities: str) -> NDArray[np.bool_]:
    """Which rows broke a check of these severities."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    broke = np.zeros(batch.num_rows, bool)
    broken = batch.column(BROKEN)
    if broken.null_count < batch.num_rows:
        names = pa.array([check.name for check in checks if check.severity in severities], pa.string())
        of_these = pc.is_in(pc.list_flatten(broken), names)
        broke[pc.list_parent_indices(broken).filter(of_these).to_numpy()] = True
    return broke


def _by_check(batch: pa.RecordBatch) -> dict[str, int]:
    import pyarrow.compute as pc

    found = pc.value_counts(pc.list_flatten(batch.column(BROKEN)))
    return {str(one["values"]): int(one["counts"]) for one in found.to_pylist()}


def holds_by_count(sql: str, rows: int) -> bool | None:
    """Whether a rule holds for so many rows, if nothing else needs to be known; else None."""
    if (rule := _BY_COUNT.fullmatch(sql.strip())) is None:
        return None
    if rule[1]:
        return bool(_COMPARED[rule[1]](rows, int(rule[2])))
    return bool(rule[5]) or float(rule[3]) <= rows <= float(rule[4])


class _Ends:
    """The least and the greatest value of a key."""

    def __init__(self, column_is_text: bool, normalise: str | None) -> None:
        self._is_text, self._normalise = column_is_text, normalise
        self._ends: tuple[Any, Any] | None = None
        self._unknown = False

    @classmethod
    def of(cls, dataset: Dataset, key: str, schema: pa.Schema) -> _Ends | None:
        """None if the key's values do not follow from what Bronze keeps, or have no order that is the same for all."""
        import pyarrow as pa

        column, kept = dataset.columns[key], schema.field(key).type
        if dataset.transform or column.default or column.expression:
            return None
        is_text = canonical(column.type) == TEXT and (pa.types.is_string(kept) or pa.types.is_large_string(kept))
        same = (canonical(column.type) == "date" and pa.types.is_date(kept)) or (
            canonical(column.type) in {"tinyint", "smallint", "int", "bigint"} and pa.types.is_integer(kept)
        )
        return cls(is_text, column.normalise) if is_text or same else None

    @property
    def found(self) -> tuple[Any, Any] | None:
        return None if self._unknown else self._ends

    def add(self, values: pa.Array, passed: NDArray[np.bool_]) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        values = values.filter(pa.array(passed))
        if self._is_text:
            # Beyond ASCII only Spark knows what its `upper` and `lower` make of a letter.
            self._unknown = self._unknown or not pc.all(pc.string_is_ascii(values), min_count=0).as_py()
            values = pc.ascii_trim(values, characters=" ")
            if self._normalise:
                values = (pc.ascii_upper if self._normalise == "upper" else pc.ascii_lower)(values)
        ends = pc.min_max(values).as_py()
        if ends["min"] is not None:
            known = self._ends or (ends["min"], ends["max"])
            self._ends = min(known[0], ends["min"]), max(known[1], ends["max"])
