"""Folders of the lake on the disk: what lies below them, and places that are no folder. Those of a store are an
integration test's."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalab.runtime.s3_lake import store_access
from flows.lake.folders import Folder, base_of


def test_files_are_found_below_a_folder_with_a_space_in_its_name(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path)) / "my lake"
    below = tmp_path / "my lake" / "year=2026"
    below.mkdir(parents=True)
    (below / "a b.parquet").write_bytes(b"four")
    assert {path: entry.size_bytes for path, entry in folder.files().items()} == {"year=2026/a b.parquet": 4}
    assert (folder.folders(), folder.read("year=2026/a b.parquet")) == (["year=2026"], b"four")
    assert (folder.size_of("year=2026/a b.parquet"), folder.size_of("none")) == (4, None)
    assert folder.last_change() is not None


def test_a_folder_that_is_not_there_is_empty_and_a_file_is_none(tmp_path: Path) -> None:
    nothing = Folder(str(tmp_path / "nothing"))
    assert (nothing.files(), nothing.folders(), nothing.last_change()) == ({}, [], None)
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="is no directory"):
        Folder(str(tmp_path / "file")).folders()


@pytest.mark.parametrize(
    ("location", "base"),
    [
        ("s3a://lake/main/silver/t", "lake/main/silver/t"),
        ("s3://lake/main/silver/t/", "lake/main/silver/t"),
        ("file:///my%20lake/t", "/my lake/t"),
        ("file:/lake/t", "/lake/t"),
        ("/lake/t", "/lake/t"),
    ],
)
def test_a_place_has_one_name_however_it_was_written(location: str, base: str) -> None:
    assert base_of(location) == base


def test_a_store_is_told_by_the_names_of_the_lab() -> None:
    environ = {"MINIO_ENDPOINT": "http://127.0.0.1:9000/", "S3_ACCESS_KEY_ID": "a", "S3_SECRET_ACCESS_KEY": "b"}
    assert store_access(environ) == {
        "access_key": "a",
        "secret_key": "b",
        "region": "us-east-1",
        "endpoint_override": "127.0.0.1:9000",
        "scheme": "http",
    }
    assert store_access({"S3_REGION": "sa-east-1"}) == {"region": "sa-east-1"}
