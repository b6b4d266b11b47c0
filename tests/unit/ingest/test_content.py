"""What a file's name and first bytes say of it."""

from __future__ import annotations

import gzip
import random
from pathlib import PurePath

import pytest

from schemas.files import FileFormat
from services.ingest.content import HEAD_BYTES, content_fault
from services.ingest.placement import Placement, ignored, place

PARQUET = b"PAR1" + b"\x00" * 40 + b"PAR1"


@pytest.mark.parametrize(
    ("content", "format_"),
    [
        (b"a,b\n1,2\n", "csv"),
        ("preço;ação\n".encode(), "csv"),
        ("preço;ação\n".encode("latin-1"), "csv"),
        (b"\xef\xbb\xbfa,b\n", "csv"),
        (b"price\n\x805\n", "csv"),
        (b'{"a": 1}', "json"),
        (PARQUET, "parquet"),
        (b"x" * (HEAD_BYTES - 1) + "é".encode()[:1], "json"),
    ],
)
def test_good_content_has_no_fault(content: bytes, format_: FileFormat) -> None:
    assert content_fault(content[:HEAD_BYTES], content[-4:], format_) is None


@pytest.mark.parametrize(
    ("content", "format_", "words"),
    [
        (b"", "csv", "empty"),
        (b"", "parquet", "empty"),
        (b"a,b\n\x00", "csv", "NUL byte at position 4"),
        (gzip.compress(b"a,b\n"), "csv", "gzip"),
        (b"PK\x03\x04rest", "csv", "zip archive"),
        (PARQUET, "csv", "name it .parquet"),
        ("a,b\n".encode("utf-16"), "csv", "UTF-16"),
        ("ação".encode("latin-1"), "json", "not UTF-8"),
        (random.Random(1).randbytes(4000).replace(b"\x00", b""), "csv", "binary"),
        (bytes(range(128, 256)), "csv", "binary"),
        (PARQUET[:-1], "parquet", "PAR1"),
        (b"PAR1", "parquet", "PAR1"),
        (b"a,b\n1,2\n", "parquet", "PAR1"),
        ("é".encode()[:1], "json", "not UTF-8"),
    ],
)
def test_bad_content_is_refused_with_its_reason(content: bytes, format_: FileFormat, words: str) -> None:
    fault = content_fault(content[:HEAD_BYTES], content[-4:], format_)

    assert fault is not None
    assert words in fault


@pytest.mark.parametrize(
    ("path", "placement"),
    [
        ("stocks/a.csv", Placement("stocks", "csv")),
        ("stocks/2026/03/a.NDJSON", Placement("stocks", "jsonl")),
        ("dt=1 é/x.y.parquet", Placement("dt=1 é", "parquet")),
    ],
)
def test_the_first_directory_is_the_dataset(path: str, placement: Placement) -> None:
    assert place(PurePath(path), {}) == placement


@pytest.mark.parametrize(
    ("path", "words"),
    [("a.csv", "no dataset"), ("stocks/a.xls", "unknown extension '.xls'"), ("stocks/csv", "unknown extension ''")],
)
def test_a_file_out_of_place_is_refused(path: str, words: str) -> None:
    assert words in str(place(PurePath(path), {}))


@pytest.mark.parametrize("name", [".a.csv", "a.csv.tmp", "a.csv.PART", "a_tmp", "_SUCCESS", "_delta_log"])
def test_unfinished_and_private_names_are_left_alone(name: str) -> None:
    assert ignored(name)


@pytest.mark.parametrize("name", ["a.csv", "tmp.csv", "part-0.csv", "a.tmp.csv", "a_b.csv"])
def test_other_names_are_looked_at(name: str) -> None:
    assert not ignored(name)
