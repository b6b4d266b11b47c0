"""Which tables there are to look after: those of the known datasets that exist, on a local disk or in an S3 store."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from flows.lake.datasets import Dataset, Retention
from flows.lake.folders import Folder
from flows.lake.tables import Lake, Table
from flows.upkeep.errors import UpkeepError

if TYPE_CHECKING:
    from deltalake import DeltaTable

LAYERS = ("bronze", "silver", "gold", "quarantine", "quality", "ledger")


class LakeTable:
    """A table that exists. `full_name` is LAYER/NAME.

    Not a dataclass: Prefect would walk into the dataset, and stumble over its field `keys`.
    """

    def __init__(self, dataset: Dataset, layer: str, name: str, table: Table) -> None:
        self.dataset, self.layer, self.name, self.table = dataset, layer, name, table

    @property
    def full_name(self) -> str:
        return f"{self.layer}/{self.name}"

    @property
    def folder(self) -> Folder:
        """Where its files are."""
        return self.table.folder

    def opened(self, version: int | None = None) -> DeltaTable:
        """A version, the newest without one, read without Spark; raises UpkeepError if the table is gone."""
        found = self.table.opened(version)
        if found is None:
            raise UpkeepError(f"{self.folder}: the table is not there any more")
        return found

    @property
    def retention(self) -> Retention | None:
        """How long its rows stay; None for ever."""
        return next((retention for layer, retention in self.dataset.retention.items() if layer == self.layer), None)

    @property
    def zorder(self) -> tuple[str, ...]:
        """The columns that OPTIMIZE lays rows together by; only Silver has some."""
        return self.dataset.zorder if self.layer == "silver" else ()


def lake_folder(root: str) -> Folder:
    """Where the lake is; raises UpkeepError for one that only Spark reaches."""
    if Table(root).for_readers is None:
        raise UpkeepError(
            f"LAKE_ROOT={root}: maintenance looks after lakes on a local disk and in S3 stores only; nothing was done"
        )
    return Folder(root)


def free_bytes(root: str) -> int | None:
    """What the lake's disk has free; None for a lake that is not on one, or not there yet."""
    directory = Table(root).local
    return shutil.disk_usage(directory).free if directory is not None and directory.is_dir() else None


def tables_of(lake: Lake, dataset: Dataset) -> list[LakeTable]:
    """The dataset's tables that exist, from Bronze to the ledger."""
    return [table for table in _possible(lake, dataset) if table.table.opened() is not None]


def chosen_tables(
    lake: Lake, datasets: Mapping[str, Dataset], wanted: Sequence[str] | None
) -> dict[str, list[LakeTable]]:
    """Tables by dataset. `wanted` names datasets or tables (LAYER/NAME); an unknown name raises UpkeepError."""
    found = {name: tables_of(lake, dataset) for name, dataset in datasets.items()}
    if wanted is None:
        return {name: tables for name, tables in found.items() if tables}
    existing = {table.full_name for tables in found.values() for table in tables}
    if unknown := [name for name in wanted if name not in existing and name not in datasets]:
        raise UpkeepError(
            f"tables: unknown {', '.join(map(repr, unknown))}; "
            f"datasets: {', '.join(sorted(datasets))}; tables: {', '.join(sorted(existing)) or 'none yet'}"
        )
    kept = {
        name: [table for table in tables if name in wanted or table.full_name in wanted]
        for name, tables in found.items()
    }
    return {name: tables for name, tables in kept.items() if tables}


def unknown_tables(datasets: Iterable[Dataset], lake: Lake) -> list[str]:
    """Tables in the lake that belong to no dataset, so that nobody looks after them."""
    known = {table.full_name for dataset in datasets for table in _possible(lake, dataset)}
    return [name for name in all_tables(lake_folder(lake.root)) if name not in known]


def all_tables(root: Folder) -> list[str]:
    """Whatever is a Delta table two folders below the root, as LAYER/NAME."""
    names = [f"{layer}/{name}" for layer in _shown(root) for name in _shown(root / layer)]
    return [name for name in names if "_delta_log" in (root / name).folders()]


def _shown(folder: Folder) -> list[str]:
    return [name for name in folder.folders() if not name.startswith(("_", "."))]


def _possible(lake: Lake, dataset: Dataset) -> list[LakeTable]:
    names = [(layer, name) for layer in LAYERS for name in (dataset.gold if layer == "gold" else (dataset.name,))]
    return [LakeTable(dataset, layer, name, lake.table(layer, name)) for layer, name in names]
