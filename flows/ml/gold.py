"""A Gold table at one version, read without Spark, and which of its rows are known already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.lake.tables import Table
from flows.ml.definitions import ModelDefinition
from flows.ml.errors import GoldError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from deltalake import DeltaTable
    from numpy.typing import NDArray


class PinnedGold:
    """The rows of one version, in columns `entity`, `period`, `value` and the context, ordered by entity and period.

    `table_id` tells a table from an earlier one at the same place, whose versions had the same numbers. Not a
    dataclass: Prefect would walk through it for each task.
    """

    def __init__(self, table: str, table_id: str, version: int, rows: pd.DataFrame) -> None:
        self.table, self.table_id, self.version, self.rows = table, table_id, version, rows

    def hashes(self) -> NDArray[np.uint64]:
        """One number per row, from its content alone: equal rows of any version have the same."""
        import pandas as pd

        hashes: NDArray[np.uint64] = pd.util.hash_pandas_object(
            self.rows[sorted(self.rows.columns)], index=False
        ).to_numpy()
        return hashes


def count_new(current: NDArray[np.uint64], known: NDArray[np.uint64] | None) -> int:
    """How many rows are new or changed. Without anything known all are new."""
    import numpy as np

    return len(current) if known is None else int((~np.isin(current, known)).sum())


def read_gold(path: str, definition: ModelDefinition, version: int | None) -> PinnedGold:
    """The table at `version`, or at its newest; raises GoldError that says what is missing and what to do."""
    table = _open(path, definition, version)
    names = [field.name for field in table.schema().fields]
    missing = [column for column in definition.columns if column not in names]
    if missing:
        raise GoldError(f"{path}: has no column {', '.join(missing)}, which model {definition.name} needs")
    try:
        content = table.to_pandas(columns=definition.columns)
    except FileNotFoundError as error:
        raise GoldError(
            f"{path}: the files of version {table.version()} are gone (VACUUM removes old ones); use a newer version"
        ) from error
    return PinnedGold(path, str(table.metadata().id), table.version(), _canonical(path, definition, content))


def _open(path: str, definition: ModelDefinition, version: int | None) -> DeltaTable:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    location, options = Table(path).for_readers or (path, {})
    try:
        table = DeltaTable(location, storage_options=options)
        newest = table.version()
        if version is not None and version > newest:
            raise GoldError(f"{path}: has no version {version}; the newest is {newest}")
        return table if version is None else DeltaTable(location, version=version, storage_options=options)
    except TableNotFoundError as error:
        raise GoldError(
            f"{path}: there is no such Delta table; load dataset {definition.dataset} first (medallion-etl)"
        ) from error
    except DeltaError as error:
        raise GoldError(f"{path}: version {version or 'newest'} cannot be read: {error}") from error


def _canonical(path: str, definition: ModelDefinition, content: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    numbers = [definition.value, *definition.context]
    columns: dict[str, Any] = {"entity": content[definition.entity].astype("str")}
    try:
        columns["period"] = pd.to_datetime(content[definition.period]).astype("datetime64[ns]")
        columns |= {
            "value" if name == definition.value else f"context_{name}": pd.to_numeric(content[name]).astype("float64")
            for name in numbers
        }
    except (ValueError, TypeError) as error:
        raise GoldError(
            f"{path}: {definition.period} must be a date and {', '.join(numbers)} numbers: {error}"
        ) from error
    known = content[[definition.entity, definition.period, definition.value]].notna().all(axis=1)
    rows = pd.DataFrame(columns)[known].sort_values(["entity", "period"], ignore_index=True)
    if rows.duplicated(["entity", "period"]).any():
        raise GoldError(f"{path}: has more than one row for one {definition.entity} and {definition.period}")
    return rows
