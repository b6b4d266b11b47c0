"""A backup is put back into a real S3 store: all of it at once for whoever reads, whatever ends the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyarrow import fs
from typer.testing import CliRunner

from datalab.cli.main import build_app
from datalab.runtime.s3_lake import delta_options
from flows.lake.datasets import Dataset
from flows.lake.folders import Folder
from flows.lake.tables import Lake
from flows.upkeep.backup import Backup, back_up
from flows.upkeep.backup_store import BackupStore
from flows.upkeep.errors import BackupError
from flows.upkeep.inventory import LakeTable
from flows.upkeep.manifest import DATA
from flows.upkeep.restore_into_store import restore_into_store
from tests.support.s3_gateway import Gateway

NOW = datetime(2026, 5, 2, 3, 0, tzinfo=UTC)
DATASET = Dataset.model_validate({"name": "stocks", "columns": {"n": {"required": True}}, "keys": ["n"]})
Rows = list[int] | str | None


class Killed(BaseException):
    """Stands for kill -9: nothing that cleans up after errors sees it."""


class Lab:
    """A lake in the store, with a table and a backup of it that is older than what the table says now."""

    def __init__(self, home: Path, root: str, options: dict[str, str]) -> None:
        self.home, self.root, self._options = home, root, options
        self.table = LakeTable(DATASET, "silver", "stocks", Lake(root, home).table("silver", "stocks"))
        self.append(1, 2)
        self.append(3)
        DeltaTable(self._at(self.table.folder), storage_options=options).create_checkpoint()
        self.append(4)
        self.backup: Backup = back_up(
            self.table, BackupStore(home / "backups"), home / "scratch", now=NOW, run_id=None, keep=4
        )

    def append(self, *numbers: int) -> None:
        rows = pa.table({"n": pa.array(numbers, pa.int64())})
        write_deltalake(self._at(self.table.folder), rows, mode="append", storage_options=self._options)

    def rows(self, folder: Folder) -> Rows:
        """What a reader finds: the numbers, None for no table, or that there is something that is no table."""
        try:
            found = DeltaTable(self._at(folder), storage_options=self._options).to_pyarrow_table()
        except Exception as error:
            return None if type(error).__name__ == "TableNotFoundError" else f"{type(error).__name__}: {error}"
        return sorted(found.column("n").to_pylist())

    def asides(self) -> list[Folder]:
        layer = Folder(f"{self.root}/silver")
        places = [layer / name for name in layer.folders() if ".replaced-" in name]
        return [place for place in places if place.files()]

    def _at(self, folder: Folder) -> str:
        return f"s3://{folder.base}"


@pytest.fixture
def lab(gateway: Gateway, store: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    root = f"s3://lake/{tmp_path.name}"
    for name, value in {**store, "LAKE_ROOT": root, "DATALAB_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DATALAB_BACKUP_DIR", raising=False)
    return Lab(tmp_path, root, delta_options(store))


class WatchedStore:
    """The store, with a look and an end after so many steps that change something."""

    def __init__(self, steps: int, look: Callable[[], None]) -> None:
        self._left, self._look = steps, look

    def over(self, store: fs.FileSystem) -> WatchedStore:
        self._store = store
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def open_output_stream(self, place: str) -> Any:
        self._step()
        return self._store.open_output_stream(place)

    def copy_file(self, *places: str) -> None:
        self._store.copy_file(*places)
        self._step()

    def delete_file(self, place: str) -> None:
        self._store.delete_file(place)
        self._step()

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._look()
            raise Killed


def datalab(*words: str) -> Any:
    return CliRunner().invoke(build_app(), ["backup", "restore", *words])


def test_a_table_comes_back_in_its_place_or_another_and_what_was_there_is_kept(lab: Lab) -> None:
    lab.append(5)
    refused = datalab("silver/stocks")
    assert refused.exit_code == 1
    assert "silver/stocks: there is something already; choose another place or, for a table, use" in refused.stderr
    assert lab.rows(lab.table.folder) == [1, 2, 3, 4, 5]
    elsewhere = datalab("silver/stocks", "--to", f"{lab.root}/elsewhere/stocks", "--json")
    assert elsewhere.exit_code == 0, elsewhere.output
    assert json.loads(elsewhere.stdout)["restored"] == f"{lab.root}/elsewhere/stocks"
    assert lab.rows(Folder(f"{lab.root}/elsewhere/stocks")) == [1, 2, 3, 4]
    done = datalab("silver/stocks", "--replace")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"silver/stocks, version 2, 4 rows: restored to {lab.root}/silver/stocks, compared\n"
    [aside] = lab.asides()
    assert f"what is there is copied to {aside} first" in done.stderr.replace("s3a://", "s3://")
    assert (lab.rows(lab.table.folder), lab.rows(aside)) == ([1, 2, 3, 4], [1, 2, 3, 4, 5])
    lab.append(6)  # it is a table like any other
    assert lab.rows(lab.table.folder) == [1, 2, 3, 4, 6]
    bucket = datalab("silver/stocks", "--to", "s3://lake")
    assert "s3://lake: is a whole bucket; say where in it" in bucket.stderr


def test_a_backup_that_is_damaged_or_says_something_else_leaves_the_table(lab: Lab) -> None:
    lab.append(5)
    victim = next((lab.backup.path / DATA).glob("*.parquet"))
    content = victim.read_bytes()
    victim.write_bytes(content[::-1])
    with pytest.raises(BackupError, match=f"the backup is damaged: {victim.name}"):
        restore_into_store(lab.backup.path, lab.table.folder, replace=True)
    assert (lab.rows(lab.table.folder), lab.asides()) == ([1, 2, 3, 4, 5], [])
    victim.write_bytes(content)
    with pytest.raises(BackupError, match=r"there is no bucket|NO_SUCH_BUCKET|does not exist|NoSuchBucket"):
        restore_into_store(lab.backup.path, Folder("s3://nowhere/stocks"), replace=False)


def test_a_restore_that_is_killed_at_any_step_shows_no_part_and_is_finished_by_the_same_command(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, place = Folder.file_system, lab.table.folder
    kept, killed_after = [1, 2, 3, 4], 0
    while True:
        killed_after += 1
        lab.append(number := 4 + killed_after)
        newer = [*kept, number]
        whole: tuple[Rows, ...] = (kept, newer)

        def look(newer: list[int] = newer, whole: tuple[Rows, ...] = whole) -> None:
            found = lab.rows(place)
            assert found in whole or not isinstance(found, list)
            assert newer in [found, *map(lab.rows, lab.asides())]

        watched = WatchedStore(killed_after, look)
        with monkeypatch.context() as patch:
            patch.setattr(Folder, "file_system", lambda folder, store=watched: store.over(files(folder)))
            try:
                restore_into_store(lab.backup.path, place, replace=True)
            except Killed:
                pass
            else:
                break
        restore_into_store(lab.backup.path, place, replace=True)
        asides = lab.asides()
        assert (lab.rows(place), [rows for rows in map(lab.rows, asides) if rows != kept]) == (kept, [newer])
        assert not [path for path in Folder(f"{lab.root}/silver").files() if path.endswith(".restoring")]
        for aside in asides:
            for path in aside.files():
                aside.file_system().delete_file(f"{aside.base}/{path}")
    # Copies aside, their removal, what was put, and the mark of it.
    assert killed_after > 20
