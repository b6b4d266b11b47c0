"""Backups: complete and verified or not there at all; what is restored is what was backed up."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from datalab.runtime.settings import PROJECT_ROOT
from flows.lake.datasets import Dataset
from flows.lake.tables import Table
from flows.upkeep import backup as backups
from flows.upkeep.backup import back_up, copy_snapshot, verify
from flows.upkeep.backup_store import BackupStore, stamp_of
from flows.upkeep.errors import BackupError
from flows.upkeep.inventory import LakeTable
from flows.upkeep.manifest import DATA, MANIFEST
from flows.upkeep.restore import restore
from flows.upkeep.snapshots import pin
from tests.support.lake_tables import path_of

NOW = datetime(2026, 5, 2, 3, 0, tzinfo=UTC)
DATASET = Dataset.model_validate(
    {"name": "stocks", "columns": {"symbol": {"required": True}}, "keys": ["symbol"], "critical": True}
)
ROWS = pa.table(
    {
        "symbol": ["AAPL", "MSFT", "São/Paulo 100%", None],
        "day": [date(2020, 1, 1), date(2020, 1, 2), None, date(2021, 1, 1)],
        "close": pa.array([Decimal("1.5"), None, Decimal("3.25"), Decimal("0.01")], pa.decimal128(18, 6)),
        "failed": [["a", "b"], [], None, ["c"]],
        "at": pa.array([NOW, NOW, None, NOW], pa.timestamp("us", "UTC")),
        "region": ["São Paulo/SP", "a=b%20", "c d", None],
    }
)


def rows_of(path: Path) -> list[str]:
    return sorted(map(repr, DeltaTable(str(path)).to_pyarrow_table().to_pylist()))


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    """A partitioned table with three versions, in a directory with a space, under names that need escaping."""
    path = tmp_path / "my lake" / "silver" / "stocks"
    for mode in ("error", "append", "overwrite"):
        write_deltalake(str(path), ROWS, mode=mode, partition_by=["region"])  # type: ignore[arg-type]  # a text of its literals
    return LakeTable(DATASET, "silver", "stocks", Table(str(path)))


@pytest.fixture
def store(tmp_path: Path) -> BackupStore:
    return BackupStore(tmp_path / "backup store")


Make = Callable[..., backups.Backup]


@pytest.fixture
def make(table: LakeTable, store: BackupStore, tmp_path: Path) -> Make:
    def made(day: int = 0, keep: int = 4) -> backups.Backup:
        now = NOW + timedelta(days=day)
        return back_up(table, store, tmp_path / "scratch", now=now, run_id="run-1", keep=keep)

    return made


def test_a_destroyed_table_comes_back_as_it_was(make: Make, table: LakeTable, tmp_path: Path) -> None:
    before, version = rows_of(path_of(table)), DeltaTable(str(path_of(table))).version()
    made = make()
    shutil.rmtree(path_of(table))
    manifest = restore(made.path, path_of(table))
    assert rows_of(path_of(table)) == before
    assert DeltaTable(str(path_of(table))).version() == version == manifest.version == 2
    assert (manifest.content.rows, manifest.table, manifest.run_id) == (4, "silver/stocks", "run-1")
    assert not (tmp_path / "scratch" / "silver" / "stocks").exists()
    write_deltalake(str(path_of(table)), ROWS, mode="append")  # it is a table like any other
    assert DeltaTable(str(path_of(table))).version() == 3


def test_the_backup_is_a_copy_that_shares_nothing_with_the_table(make: Make, table: LakeTable) -> None:
    made = make()
    for file in made.manifest.files:
        original, copy = path_of(table) / file.path, made.path / DATA / file.path
        assert copy.stat().st_ino != original.stat().st_ino
        assert not copy.is_symlink()
        assert copy.stat().st_size == file.size_bytes
    live = pa.table(DeltaTable(str(path_of(table))).get_add_actions(flatten=True)).num_rows
    assert sum(file.path.endswith(".parquet") for file in made.manifest.files) == live
    assert sum(file.path.startswith("_delta_log/") for file in made.manifest.files) == 3


def test_a_table_that_changes_while_it_is_copied_is_backed_up_at_the_pinned_version(
    table: LakeTable, store: BackupStore, tmp_path: Path
) -> None:
    before, snapshot = rows_of(path_of(table)), pin(table)
    write_deltalake(str(path_of(table)), ROWS, mode="overwrite")
    DeltaTable(str(path_of(table))).create_checkpoint()
    made = copy_snapshot(table, snapshot, store, now=NOW, run_id=None)
    manifest = verify(made, tmp_path / "scratch")
    assert manifest.version == 2
    restore(made, tmp_path / "again")
    assert rows_of(tmp_path / "again") == before


@pytest.mark.parametrize("harm", ["byte", "shorter", "missing", "log"])
def test_a_damaged_backup_is_found_and_nothing_is_restored(make: Make, tmp_path: Path, harm: str) -> None:
    made = make()
    name = next(f.path for f in made.manifest.files if f.path.endswith(".json" if harm == "log" else ".parquet"))
    file = made.path / DATA / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-1] if harm == "shorter" else content)
    target = tmp_path / "target"
    with pytest.raises(BackupError, match=file.name):
        restore(made.path, target)
    with pytest.raises(BackupError, match="could not be verified, so nothing is deleted"):
        verify(made.path, tmp_path / "scratch")
    assert [path.name for path in tmp_path.iterdir() if "target" in path.name] == []


def test_a_manifest_that_was_changed_or_is_missing_is_said(make: Make, tmp_path: Path) -> None:
    made = make()
    manifest = made.path / MANIFEST
    manifest.write_text(manifest.read_text().replace('"rows": 4', '"rows": 5'))
    with pytest.raises(BackupError, match="changed after the backup was verified"):
        restore(made.path, tmp_path / "target")
    (made.path / "verified.json").unlink()
    with pytest.raises(BackupError, match="5 rows became 4"):
        restore(made.path, tmp_path / "target")
    manifest.write_text(manifest.read_text().replace('"path": "region', '"path": "../region'))
    with pytest.raises(BackupError, match="must stay below the table"):
        restore(made.path, tmp_path / "target")
    with pytest.raises(BackupError, match=r"is no backup of a table \(manifest.json: No such file"):
        restore(tmp_path / "nowhere", tmp_path / "target")


def test_a_copy_that_is_not_what_was_read_does_not_count_and_old_backups_stay(
    make: Make, store: BackupStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(0, keep=1)

    def rotten_disk(*args: object, **kwargs: object) -> Path:
        made = copy_snapshot(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came
        file = next(made.rglob("*.parquet"))
        file.write_bytes(file.read_bytes()[::-1])
        return made

    monkeypatch.setattr(backups, "copy_snapshot", rotten_disk)
    with pytest.raises(BackupError, match="the backup is damaged"):
        make(1, keep=1)
    assert [path.name for path in store.verified("silver/stocks")] == [stamp_of(NOW)]
    monkeypatch.undo()
    assert make(2, keep=2).leftovers_removed == (stamp_of(NOW + timedelta(days=1)),)


def test_old_backups_go_only_beyond_the_newest_kept(make: Make, store: BackupStore) -> None:
    for day in range(4):
        made = make(day, keep=2)
    assert made.expired == (stamp_of(NOW + timedelta(days=1)),)
    expected = [stamp_of(NOW + timedelta(days=day)) for day in (3, 2)]
    assert sorted((path.name for path in store.of("silver/stocks").iterdir()), reverse=True) == expected
    assert [path.name for path in store.verified("silver/stocks")] == expected
    assert store.tables() == ["silver/stocks"]
    early = make(-1, keep=2)  # a clock that went back
    assert early.path in store.verified("silver/stocks")


def test_a_table_without_rows_is_backed_up_too(make: Make, table: LakeTable, tmp_path: Path) -> None:
    DeltaTable(str(path_of(table))).delete()
    manifest = restore(make().path, tmp_path / "out")
    assert (manifest.version, manifest.content.rows) == (3, 0)


KILLED = """
import os, signal, sys
from pathlib import Path
from flows.upkeep.backup import back_up
from tests.unit.flows.test_maintenance_backup import DATASET, NOW
from flows.lake.tables import Table
from flows.upkeep.backup_store import BackupStore
from flows.upkeep.inventory import LakeTable
Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
path = Path(sys.argv[1])
table = LakeTable(DATASET, "silver", "stocks", Table(str(path)))
back_up(table, BackupStore(Path(sys.argv[2])), Path(sys.argv[3]), now=NOW, run_id=None, keep=4)
"""


def test_a_kill_between_copy_and_rename_leaves_nothing_that_counts(
    make: Make, table: LakeTable, store: BackupStore, tmp_path: Path
) -> None:
    words = [sys.executable, "-c", KILLED, str(path_of(table)), str(store.root), str(tmp_path / "scratch")]
    killed = subprocess.run(words, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    [partial] = store.of("silver/stocks").iterdir()
    assert (partial / MANIFEST).is_file()
    assert store.verified("silver/stocks") == []
    assert store.tables() == []
    made = make()
    assert made.leftovers_removed == (partial.name,)
    assert list(store.of("silver/stocks").iterdir()) == [made.path]


def test_a_full_disk_is_said_before_anything_is_copied(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10_000, 9_000, 1_000))  # type: ignore[attr-defined]  # the type of what it answers
    with pytest.raises(BackupError, match=r"with its trial restore needs .* MB free; nothing was deleted. Make room"):
        make()


LIMITED = KILLED.replace(
    "Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)",
    "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
    "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)",
)


def test_a_disk_that_refuses_to_take_more_is_said_plainly(table: LakeTable, store: BackupStore, tmp_path: Path) -> None:
    words = [sys.executable, "-c", LIMITED, str(path_of(table)), str(store.root), str(tmp_path / "scratch")]
    answer = subprocess.run(words, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "BackupError: backup of silver/stocks: " in answer.stderr
    assert "File too large; nothing was deleted. Make room in " in answer.stderr
    assert store.verified("silver/stocks") == []


def test_a_place_that_cannot_be_written_is_said_plainly(make: Make, store: BackupStore) -> None:
    store.root.write_text("a file where the directory should be")
    with pytest.raises(BackupError, match=r"backup of silver/stocks: .*backup store.*nothing was deleted"):
        make()


def test_a_damaged_table_is_not_backed_up_as_if_it_were_whole(make: Make, table: LakeTable, store: BackupStore) -> None:
    listed = pin(table).files[0]
    (path_of(table) / listed).unlink()
    with pytest.raises(BackupError, match="is missing; the table is damaged"):
        make()
    assert store.verified("silver/stocks") == []


def test_restore_never_overwrites_and_moves_aside_only_when_told(make: Make, table: LakeTable, tmp_path: Path) -> None:
    made = make()
    write_deltalake(str(path_of(table)), ROWS, mode="append")
    now = rows_of(path_of(table))
    with pytest.raises(BackupError, match="there is something already"):
        restore(made.path, path_of(table))
    assert rows_of(path_of(table)) == now
    restore(made.path, path_of(table), replace=True)
    assert DeltaTable(str(path_of(table))).version() == 2
    [aside] = path_of(table).parent.glob("stocks.replaced-*")
    assert rows_of(aside) == now
    (tmp_path / "empty").mkdir()
    restore(made.path, tmp_path / "empty")
    assert DeltaTable(str(tmp_path / "empty")).version() == 2
