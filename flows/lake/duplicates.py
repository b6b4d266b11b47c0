"""Rows of a file whose key comes again later in it: by equal hashes of keys, and of those by the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from flows.lake.datasets import Dataset
from flows.lake.expressions import BROKEN, KEY_HASH, Check, breaks_any
from flows.lake.records import Records
from flows.lake.tables import ident
from flows.lake.verdicts import MOST_HASHES, breaking

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from pyspark.sql import DataFrame


def superseded(
    dataset: Dataset,
    judged: DataFrame,
    rows: int,
    checks: Sequence[Check],
    hashes: NDArray[np.int64] | None,
    records: Records | None,
) -> pa.Table:
    """Numbers of rows whose key comes again later in the file. Most files have none: to look for equal hashes reads one
    column of eight bytes; only rows with such a hash are compared by their keys."""
    import pyarrow as pa

    kept = judged.where(f"NOT {breaks_any(checks, 'quarantine', 'drop')}")
    if hashes is None and rows > MOST_HASHES:
        alike = kept.groupBy(KEY_HASH).count().where("count > 1").select(KEY_HASH)
    else:
        values = kept.select(KEY_HASH).toArrow().column(KEY_HASH).to_numpy() if hashes is None else hashes
        twice = repeated(values)
        if not len(twice):
            return pa.table({"_row_number": pa.array([], pa.int64())})
        if records is not None and (found := by_kept_keys(records, dataset, checks, twice)) is not None:
            return found
        alike = judged.sparkSession.createDataFrame(pa.table({KEY_HASH: twice}))
    keys = ", ".join(map(ident, dataset.keys))
    later = f"row_number() OVER (PARTITION BY {keys} ORDER BY _row_number DESC) AS _age"
    table = (
        kept.join(alike, KEY_HASH, "left_semi")
        .selectExpr("_row_number", later)
        .where("_age > 1")
        .select("_row_number")
        .toArrow()
    )
    return cast("pa.Table", table)


def repeated(hashes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The values that are there more than once, each once."""
    import numpy as np

    ordered = np.sort(hashes)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def by_kept_keys(
    records: Records, dataset: Dataset, checks: Sequence[Check], alike: NDArray[np.int64]
) -> pa.Table | None:
    """Numbers of the rows whose key comes again later in the file, among those with these hashes. None if equal hashes
    do not have equal keys as Bronze keeps them: then only the typed keys can tell."""
    import numpy as np
    import pyarrow as pa
    from pyarrow.compute import field

    if dataset.transform or any(dataset.columns[key].default for key in dataset.keys):
        return None
    found = records.table([BROKEN, KEY_HASH, "_row_number", *dataset.keys], field(KEY_HASH).isin(pa.array(alike)))
    batches = [b.filter(pa.array(~breaking(b, checks, "quarantine", "drop"))) for b in found.to_batches()]
    rows = pa.Table.from_batches(batches, found.schema)
    if rows.group_by([KEY_HASH, *dataset.keys]).aggregate([]).num_rows != len(alike):
        return None
    hashes, numbers = rows.column(KEY_HASH).to_numpy(), rows.column("_row_number").to_numpy()
    order = np.lexsort((numbers, hashes))
    older = np.append(hashes[order][1:] == hashes[order][:-1], False)
    return pa.table({"_row_number": numbers[order][older]})
