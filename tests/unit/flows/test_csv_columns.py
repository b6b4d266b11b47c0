"""Which files are staged as columns, and what is in these; the others stay as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from datalab.runtime.settings import PROJECT_ROOT
from flows.lake import csv_columns
from flows.lake.bronze_columns import joined
from flows.lake.csv_columns import as_columns
from flows.lake.datasets import Dataset
from flows.lake.errors import LakeError
from flows.lake.staging import StagedFile, stage_csv


def dataset(**options: str) -> Dataset:
    return Dataset.model_validate(
        {
            "name": "ticks",
            "source": {"options": options},
            "columns": {"symbol": {"required": True}, "price": {"type": "decimal(8,2)"}, "size": {"type": "int"}},
            "keys": ["symbol"],
        }
    )


def staged(folder: Path, content: str | bytes, **options: str) -> StagedFile:
    path = folder / "a.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    wanted = dataset(**options)
    return as_columns(stage_csv(path, folder / "staging", wanted.source.separator), wanted)


@pytest.mark.parametrize(
    "content",
    [
        "Symbol,price,size,note\na,1.50,7,x\nb,,n/a,\n",
        "Symbol,price,size,note\r\na,1.50,7,x\r\nb,,n/a,",
        "\ufeffSymbol,price,size,note\n\na,1.50,7,x\n\nb,,n/a,\n\n\n",
    ],
)
def test_a_regular_file_becomes_columns(tmp_path: Path, content: str) -> None:
    file = staged(tmp_path, content)
    assert (file.layout, file.path.suffix) == ("columns", ".parquet")
    assert list(file.path.parent.iterdir()) == [file.path]
    rows = parquet.read_table(file.path).to_pylist()
    positions = [row.pop("_position") for row in rows]
    assert positions == sorted(set(positions))
    assert [{name: row[name] for name in ("symbol", "price", "size", "note")} for row in rows] == [
        {"symbol": "a", "price": "1.50", "size": "7", "note": "x"},
        {"symbol": "b", "price": None, "size": "n/a", "note": None},
    ]
    assert [(str(row["_plain_price"]), row["_plain_size"]) for row in rows] == [("1.50", 7), ("None", None)]
    # A price that is absent is plainly so; `n/a` is Spark's to judge.
    assert file.plain == {"price": "decimal(8,2)"}


IRREGULAR = {
    "quotes": 'symbol,price,size\n"a",1,2\n',
    "too few fields": "symbol,price,size\na,1\n",
    "too many fields": "symbol,price,size\na,1,2,3\n",
    "a line of blanks": "symbol,price,size\na,1,2\n  \nb,1,2\n",
    "an old Mac's line ends": "symbol,price,size\na,1,2\rb,1,2\n",
    "no line ends but those": "symbol,price,size\ra,1,2\rb,1,2\r",
    "an empty first line": "\nsymbol,price,size\na,1,2\n",
    "one column": "symbol\na\n",
    "the mark of the byte order within": "symbol,price,size\n\ufeffa,1,2\n",
}


@pytest.mark.parametrize("why", IRREGULAR)
def test_any_other_is_left_to_spark(tmp_path: Path, why: str) -> None:
    file = staged(tmp_path, IRREGULAR[why])
    assert (file.layout, file.path.suffix, file.plain) == ("csv", ".csv", {})
    assert file.path.read_bytes() == IRREGULAR[why].encode()
    assert list(file.path.parent.iterdir()) == [file.path]


@pytest.mark.parametrize("options", [{"nullValue": "-"}, {"sep": "\t"}, {"sep": "§"}])
def test_files_with_options_of_spark_are_left_to_it(tmp_path: Path, options: dict[str, str]) -> None:
    separator = options.get("sep", ",")
    file = staged(tmp_path, "symbol,price,size\na,1,2\n".replace(",", separator), **options)
    assert file.layout == "csv"


def test_another_separator_is_as_good(tmp_path: Path) -> None:
    file = staged(tmp_path, "symbol;price;size\na;1,5;2\n", sep=";")
    row = parquet.read_table(file.path).to_pylist()[0]
    assert (file.layout, row["price"], row["_plain_price"], row["_plain_size"]) == ("columns", "1,5", None, 2)


def test_many_blocks_come_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_columns, "_BLOCK", 100)
    file = staged(tmp_path, "symbol,price,size\n" + "".join(f"s{i},{i}.25,{i}\n" for i in range(2000)))
    rows = parquet.read_table(file.path)
    assert parquet.ParquetFile(file.path).num_row_groups > 100
    assert rows["_position"].to_pylist() == list(range(1, 2001))
    assert rows["_plain_size"].to_pylist() == list(range(2000))


def test_a_block_of_empty_lines_has_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_columns, "_BLOCK", 20)
    file = staged(tmp_path, "symbol,price,size\na,1,2\n" + "\n" * 60 + "b,3,4\n" + "\n" * 60)
    assert parquet.read_table(file.path)["symbol"].to_pylist() == ["a", "b"]


def test_a_line_that_is_longer_than_a_block_is_not_cut_in_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_columns, "_BLOCK", 20)
    file = staged(tmp_path, "symbol,price,size\na,1," + "2" * 50 + "\n")
    assert file.layout == "csv"


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from pathlib import Path; from tests.unit.flows.test_csv_columns import staged; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (50_000,) * 2); "
        "staged(Path(sys.argv[1]), 'symbol,price,size\\n' + 'a,1,2\\n' * 5000)"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    answer = subprocess.run(words, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "StorageFullError: the columns of file://" in answer.stderr
    assert "File too large. Make room there" in answer.stderr


@pytest.mark.parametrize(
    ("judged", "said"),
    [([1, 2, 3], "fewer rows"), ([1, 2, 3, 4, 5], "more rows"), ([2, 1, 3, 4], "not in the order"), ([], "fewer rows")],
)
def test_rows_that_are_not_the_staged_ones_are_refused(tmp_path: Path, judged: list[int], said: str) -> None:
    positions = pa.table({"symbol": ["a"] * 4, "_position": [1, 2, 3, 4]})
    parquet.write_table(positions, tmp_path / "staged.parquet")
    (tmp_path / "judged").mkdir()
    half = len(judged) // 2
    for number, part in enumerate((judged[:half], judged[half:])):
        found = pa.table({"_row_number": pa.array(part, pa.int64()), "_broken": pa.nulls(len(part), pa.string())})
        parquet.write_table(found, tmp_path / "judged" / f"part-0000{number}.parquet")
    taken = {"symbol": "symbol", "_row_number": "_position"}
    columns = ["symbol", "_broken", "_row_number", "_run_id"]
    rows = joined(tmp_path / "staged.parquet", tmp_path / "judged", columns, taken, {"_run_id": pa.scalar("r")})
    with pytest.raises(LakeError, match=said):
        list(rows)
