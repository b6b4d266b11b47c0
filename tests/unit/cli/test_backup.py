"""`datalab backup`: list, verify, restore, as somebody types it."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from typer.testing import CliRunner

from datalab.cli.main import build_app
from flows.lake.datasets import Dataset
from flows.lake.tables import Table
from flows.upkeep.backup import Backup, back_up
from flows.upkeep.backup_store import BackupStore
from flows.upkeep.inventory import LakeTable
from flows.upkeep.manifest import DATA, MANIFEST, VERIFIED

NOW = datetime(2026, 5, 2, 3, 0, tzinfo=UTC)
DATASET = Dataset.model_validate({"name": "stocks", "columns": {"n": {"required": True}}, "keys": ["n"]})


class Lab:
    """A lake with one table, and two backups of it."""

    def __init__(self, home: Path) -> None:
        self.home, self.store = home, BackupStore(home / "backups")
        self.path = home / "lake" / "silver" / "stocks"
        self.backups = [self._back_up(day) for day in range(2)]

    def _back_up(self, day: int) -> Backup:
        write_deltalake(str(self.path), pa.table({"n": [day, day + 1]}), mode="append")
        table = LakeTable(DATASET, "silver", "stocks", Table(str(self.path)))
        return back_up(table, self.store, self.home / "x", now=NOW + timedelta(days=day), run_id=None, keep=4)

    def damage(self, number: int) -> str:
        """One byte of one file of a backup is another; returns the file's name."""
        victim = next((self.backups[number].path / DATA).glob("*.parquet"))
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
        return victim.name


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    home = tmp_path / "my lab"
    monkeypatch.setenv("DATALAB_HOME", str(home))
    for name in ("LAKE_ROOT", "DATALAB_BACKUP_DIR"):
        monkeypatch.delenv(name, raising=False)
    return Lab(home)


def datalab(*words: str) -> Any:
    return CliRunner().invoke(build_app(), ["backup", *words])


def test_it_lists_the_newest_first_for_people_and_for_programs(lab: Lab) -> None:
    said = datalab("list")
    assert said.exit_code == 0
    newest, oldest = said.stdout.splitlines()
    assert newest.split()[:5] == ["silver/stocks", "version", "1", "4", "rows"]
    assert oldest.split()[:5] == ["silver/stocks", "version", "0", "2", "rows"]
    assert "2026-05-03 03:00 restored in" in newest
    [first, _] = map(json.loads, datalab("list", "silver/stocks", "--json").stdout.splitlines())
    assert first["path"] == str(lab.backups[1].path)
    assert first["damage"] is None
    assert first["restore_s"] > 0


def test_a_table_or_a_version_without_a_backup_is_named_with_what_there_is(lab: Lab) -> None:
    unknown = datalab("list", "silver/nothing")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert unknown.stderr == "datalab: silver/nothing: has no backup; tables with backups: silver/stocks\n"
    other = datalab("restore", "silver/stocks", "--version", "7")
    assert other.exit_code == 1
    assert "there is no backup of version 7; versions: 1, 0" in other.stderr
    shutil.rmtree(lab.store.root)
    assert f"there are no backups in {lab.store.root}" in datalab("restore", "silver/stocks").stderr
    none = datalab("list")
    assert (none.exit_code, none.stdout) == (0, "")
    assert f"There are no backups in {lab.store.root} yet" in none.stderr


def test_a_damaged_backup_is_found_and_named_and_the_others_are_read(lab: Lab) -> None:
    assert datalab("verify").exit_code == 0
    name = lab.damage(1)
    found = datalab("verify")
    assert found.exit_code == 1
    assert f"silver/stocks                DAMAGED {lab.backups[1].path}: {name}: " in found.stdout
    assert "2 backups read, 1 damaged" in found.stderr
    assert datalab("verify", "silver/stocks", "--version", "0").exit_code == 0
    restored = datalab("restore", "silver/stocks", "--to", str(lab.home / "out"))
    assert restored.exit_code == 1
    assert "the backup is damaged" in restored.stderr
    assert not (lab.home / "out").exists()


def test_a_backup_whose_manifest_or_file_is_gone_is_named_too(lab: Lab) -> None:
    (lab.backups[0].path / MANIFEST).unlink()
    (lab.backups[1].path / VERIFIED).write_text("{}")
    said = datalab("list").stdout
    assert said.count("DAMAGED") == 2
    assert datalab("verify").exit_code == 1


def test_a_version_is_restored_in_place_and_what_was_there_is_kept(lab: Lab) -> None:
    refused = datalab("restore", "silver/stocks", "--version", "0")
    assert refused.exit_code == 1
    assert "there is something already" in refused.stderr
    done = datalab("restore", "silver/stocks", "--version", "0", "--replace")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"silver/stocks, version 0, 2 rows: restored to {lab.path}, compared\n"
    assert DeltaTable(str(lab.path)).version() == 0
    [aside] = lab.path.parent.glob("stocks.replaced-*")
    assert DeltaTable(str(aside)).version() == 1


def test_a_schema_or_a_protocol_that_became_another_is_said(lab: Lab) -> None:
    path = lab.backups[1].path / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["shape"]["writer_version"] += 1
    path.write_text(json.dumps(manifest))
    (lab.backups[1].path / VERIFIED).unlink()  # else the changed manifest itself is found
    from flows.upkeep.errors import BackupError
    from flows.upkeep.restore import restore

    with pytest.raises(BackupError, match=r"what was restored is not what was backed up: the protocol \(reader 1"):
        restore(lab.backups[1].path, lab.home / "out")
