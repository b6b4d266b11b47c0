"""Which tables there are to look after: those of the known datasets that exist in a local lake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from flows.lake.datasets import Dataset, Retention
from flows.lake.tables import Lake, Table
from flows.upkeep.errors import UpkeepError

LAYERS = ("bronze", "silver", "gold", "quarantine", "ledger")


class LakeTable:
    """A table that exists. `full_name` is LAYER/NAME.

    Not a dataclass: Prefect would walk into the dataset, and stumble over its field `keys`.
    """

    def __init__(self, dataset: Dataset, layer: str, name: str, table: Table, path: Path) -> None:
        self.dataset, self.layer, self.name, self.table, self.path = dataset, layer, name, table, path

    @property
    def full_name(self) -> str:
        return f"{self.layer}/{self.name}"

    @property
    def retention(self) -> Retention | None:
        """How long its rows stay; None for ever."""
        return next((retention for layer, retention in self.dataset.retention.items() if layer == self.layer), None)

    @property
    def zorder(self) -> tuple[str, ...]:
        """The columns that OPTIMIZE lays rows together by; only Silver has some."""
        return self.dataset.zorder if self.layer == "silver" else ()


def lake_directory(root: str) -> Path:
    """The lake's directory; raises UpkeepError if it is not on a local disk."""
    if root.startswith("file://"):
        return Path(unquote(root.removeprefix("file://")))
    if "://" in root:
        raise UpkeepError(
            f"LAKE_ROOT={root}: maintenance backs up, checks and purges tables on a local disk only; "
            "nothing was done. Use the store's own versioning and lifecycle rules there"
        )
    return Path(root)


def tables_of(lake: Lake, dataset: Dataset) -> list[LakeTable]:
    """The dataset's tables that exist, from Bronze to the ledger."""
    return [table for table in _possible(lake, dataset) if _exists(table.path)]


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


def unknown_tables(root: Path, datasets: Iterable[Dataset], lake: Lake) -> list[str]:
    """Tables in the lake that belong to no dataset, so that nobody looks after them."""
    known = {table.path for dataset in datasets for table in _possible(lake, dataset)}
    found = (log.parent.relative_to(root) for log in root.glob("*/*/_delta_log"))
    own = (path for path in found if not any(part.startswith(("_", ".")) for part in path.parts))
    return sorted(str(path) for path in own if root / path not in known)


def _possible(lake: Lake, dataset: Dataset) -> list[LakeTable]:
    root = lake_directory(lake.root)
    names = [(layer, name) for layer in LAYERS for name in (dataset.gold if layer == "gold" else (dataset.name,))]
    return [LakeTable(dataset, layer, name, lake.table(layer, name), root / layer / name) for layer, name in names]


def _exists(path: Path) -> bool:
    from deltalake import DeltaTable

    return (path / "_delta_log").is_dir() and DeltaTable.is_deltatable(str(path))
