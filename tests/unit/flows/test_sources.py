"""Paths, URIs and staging: odd names work, and what cannot be loaded is refused in plain words."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from flows.lake.errors import SourceError
from flows.lake.sources import ingestions, local_path, source_files, unsettled
from flows.lake.staging import ingest_id, stage_csv
from flows.lake.tables import ident, text, unglobbed

ODD_NAMES = ["a b.csv", "dia=1.csv", "ação.csv", "100%20.csv", "a#1.csv", "x[1]{2}*?.csv", 'it\'s "x".csv']


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_path_and_its_uri_mean_the_same_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert local_path(str(path)) == path
    assert local_path(path.as_uri()) == path
    assert local_path(f"file:{path.as_uri().removeprefix('file://')}") == path


@pytest.mark.parametrize("source", ["s3://bucket/x.csv", "file://elsewhere/x.csv", "  "])
def test_places_that_cannot_be_read_are_refused(source: str) -> None:
    with pytest.raises(SourceError):
        local_path(source)


def test_a_directory_means_its_finished_files_oldest_first(tmp_path: Path) -> None:
    for age, name in enumerate(["b.csv", "a.csv", ".hidden.csv", "_x.csv", "c.csv.part", "notes.txt"]):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    (tmp_path / "folder.csv").mkdir()
    assert [file.name for file in source_files(tmp_path)] == ["b.csv", "a.csv"]


def test_no_file_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no \.csv file"):
        source_files(tmp_path)
    with pytest.raises(SourceError, match="no such file"):
        source_files(tmp_path / "gone.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(SourceError, match="not a regular file"):
        source_files(tmp_path / "pipe.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"a,b\n", "a header and no row"),
        (b"a,b\r\n\r\n", "a header and no row"),
        (b"\x89PNG\r\n\0\0\0", "binary data"),
        (b"a,b\n\xff\xfe1,2\n", "not UTF-8"),
        (b"a,b\n1,\xc3", "not UTF-8"),
    ],
)
def test_what_is_no_table_of_text_is_refused_and_leaves_nothing(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad name.csv"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message) as refused:
        stage_csv(path, tmp_path / "staging", ",")
    assert "bad name.csv" in str(refused.value)
    assert "incoming" not in str(refused.value)


def test_staging_keeps_the_bytes_and_knows_the_header(tmp_path: Path) -> None:
    path = tmp_path / "ação.csv"
    content = b'\xef\xbb\xbfa,"b ""c"""\r\n1,"x\ny"\r\n'
    path.write_bytes(content)
    staged = stage_csv(path, tmp_path / "staging", ",")
    assert staged.path.read_bytes() == content
    assert staged.sha256 == hashlib.sha256(content).hexdigest()
    assert staged.header == ("a", 'b "c"')
    assert staged.has_quotes
    assert staged.size_bytes == len(content)


def test_an_ingestion_is_place_and_content() -> None:
    first = ingest_id("file:///a.csv", "0" * 64)
    assert first == ingest_id("file:///a.csv", "0" * 64)
    assert len({first, ingest_id("file:///b.csv", "0" * 64), ingest_id("file:///a.csv", "1" * 64)}) == 3


def test_names_and_literals_are_quoted() -> None:
    assert ident("a`b") == "`a``b`"
    assert text("it's \\ x") == "'it\\'s \\\\ x'"
    # Spark would put the server's environment in its place.
    assert text("${env:SECRET}") == r"'\u0024{env:SECRET}'"
    assert text(None) == "CAST(NULL AS STRING)"
    assert unglobbed("/a[1]{b}*") == r"/a\[1\]\{b\}\*"


def test_a_file_that_vanished_meanwhile_keeps_no_other_out(tmp_path: Path) -> None:
    done, new, gone = tmp_path / "done.csv", tmp_path / "new.csv", tmp_path / "gone.csv"
    done.write_text("a\n1\n")
    new.write_text("a\n2\n")
    known = {ingest_id(done.as_uri(), hashlib.sha256(done.read_bytes()).hexdigest())}

    files = [done, gone, new]
    assert unsettled(files, ingestions(files), known) == [gone, new]


def test_a_full_disk_is_not_taken_for_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from pathlib import Path; from flows.lake.staging import stage_csv; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        "stage_csv(Path(sys.argv[1]), Path(sys.argv[2]), ',')"
    )
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 5000)
    words = [sys.executable, "-c", code, str(tmp_path / "a.csv"), str(tmp_path / "staging")]
    answer = subprocess.run(words, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "StorageFullError: the staged copy of a.csv in " in answer.stderr
    assert "File too large. Make room there" in answer.stderr
