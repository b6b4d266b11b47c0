"""Plain CSV as Parquet: every record once, under its number, whole if it is odd; the rest is left to Spark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.lake import csv_records
from flows.lake.csv_records import as_parquet
from flows.lake.staging import StagedFile, stage_csv


def staged(tmp_path: Path, content: str | bytes, separator: str = ",") -> StagedFile:
    source = tmp_path / "source.csv"
    source.write_bytes(content.encode() if isinstance(content, str) else content)
    return stage_csv(source, tmp_path / "staging", separator)


def records(tmp_path: Path, content: str | bytes, **options: str) -> list[dict[str, Any]] | None:
    file = staged(tmp_path, content, options.get("sep", ","))
    target = as_parquet(file, file.header, options, "odd", "n")
    return None if target is None else sorted(pq.read_table(target).to_pylist(), key=lambda row: row["n"])


def test_records_are_text_and_odd_ones_are_kept_whole_with_what_fields_they_have(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbfa;b;c\r\n1;;3\r\n\r\n4;5\r\n   \r\n6;7;8;9\r\n 10 ;11;12"
    assert records(tmp_path, content, sep=";") == [
        {"a": "1", "b": None, "c": "3", "odd": None, "n": 1},
        {"a": "4", "b": "5", "c": None, "odd": "4;5", "n": 2},
        {"a": "6", "b": "7", "c": "8", "odd": "6;7;8;9", "n": 4},
        {"a": " 10 ", "b": "11", "c": "12", "odd": None, "n": 5},
    ]


def test_a_file_of_many_blocks_keeps_the_order_of_its_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_records, "_BLOCK", 64)
    lines = [f"{n},x" if n % 7 else f"{n}" for n in range(1, 500)]
    found = records(tmp_path, "\n".join(["a,b", *lines, ""]))
    assert found is not None
    assert [row["n"] for row in found] == list(range(1, 500))
    assert [row["a"] for row in found] == [str(n) for n in range(1, 500)]
    assert {row["n"] for row in found if row["odd"]} == {n for n in range(1, 500) if n % 7 == 0}


@pytest.mark.parametrize(
    ("content", "options"),
    [
        pytest.param('a,b\n1,"2"\n', {}, id="quotes"),
        pytest.param("\na,b\n1,2\n", {}, id="lines before the header"),
        pytest.param("a\n1\n", {}, id="one column"),
        pytest.param("a,b\n1,2\n", {"comment": "#"}, id="another option"),
        pytest.param("a||b\n1||2\n", {"sep": "||"}, id="a separator of two"),
    ],
)
def test_what_is_not_plain_is_left_to_spark(tmp_path: Path, content: str, options: dict[str, str]) -> None:
    source = staged(tmp_path, content)
    assert as_parquet(source, source.header, options, "odd", "n") is None
    assert not source.path.with_suffix(".parquet").exists()


def test_more_odd_records_than_are_kept_in_mind_are_left_to_spark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_records, "_MOST_ODD", 3)
    assert records(tmp_path, "a,b\n1\n2\n3\n4,5\n") is not None
    assert records(tmp_path, "a,b\n1\n2\n3\n4\n") is None
