"""Datasets as data: what the definitions say, how headers and files find their dataset, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from flows.lake.datasets import Dataset, choose_dataset, load_datasets
from flows.lake.errors import DatasetError, SourceError

STOCKS_HEADER = ["Ticker", "Date", "Open", "High", "Low", "Close", "Volume", "Adj Close"]


GOLD = "a: {columns: {x: {required: true}}, keys: [x], gold: {g: {group_by: {d: x}, aggregates: {n: count(*)}}}, "


@pytest.fixture(scope="module")
def datasets() -> dict[str, Dataset]:
    return load_datasets(PROJECT_ROOT / "config" / "datasets.yaml")


def test_the_shipped_header_finds_its_columns(datasets: dict[str, Dataset]) -> None:
    names = datasets["stocks"].canonical_names(STOCKS_HEADER)
    assert names == ["symbol", "date", "open", "high", "low", "close", "volume", "adj_close"]


def test_unknown_repeated_and_empty_fields_get_safe_names_of_their_own(datasets: dict[str, Dataset]) -> None:
    names = datasets["stocks"].canonical_names(["symbol", "Symbol", "", "Preço (R$)", "data_ingestao", "_run_id"])
    assert names == ["symbol", "symbol_2", "column_3", "preço_r", "data_ingestao_5", "run_id"]
    assert len(set(names)) == 6


def test_missing_columns_leave_out_optional_ones(datasets: dict[str, Dataset]) -> None:
    assert datasets["stocks"].missing_columns(["symbol;date;open"]) == [
        "symbol",
        "date",
        "open",
        "high",
        "low",
        "close",
        "volume",
    ]
    assert datasets["stocks"].missing_columns(STOCKS_HEADER[:-1]) == []


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/data/landing/stocks", None),
        ("/data/landing/stocks/x.csv", None),
        ("/tmp/My_Stocks_2024.csv", None),
        ("/tmp/data.csv", STOCKS_HEADER),
    ],
)
def test_a_file_finds_its_dataset(datasets: dict[str, Dataset], path: str, header: list[str] | None) -> None:
    assert choose_dataset(datasets, Path(path), header=header).name == "stocks"


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/data/landing/eventos/x.json", None),
        ("/tmp/Eventos de maio.jsonl", None),
        ("/tmp/data.json", ["valor", "Região", "data"]),
    ],
)
def test_events_are_told_from_prices(datasets: dict[str, Dataset], path: str, header: list[str] | None) -> None:
    assert choose_dataset(datasets, Path(path), header=header).name == "eventos"


def test_a_file_is_read_as_its_name_says_if_the_dataset_takes_that(datasets: dict[str, Dataset]) -> None:
    eventos, stocks = datasets["eventos"].source, datasets["stocks"].source
    names = ("a.json", "a.JSONL", "a.ndjson", "a.txt")
    assert [eventos.format_of(Path(name)) for name in names] == ["json", "jsonl", "jsonl", "json"]
    assert stocks.format_of(Path("a.txt")) == "csv"
    with pytest.raises(SourceError, match=r"a\.csv: the dataset takes \.json or \.jsonl or \.ndjson files"):
        eventos.format_of(Path("a.csv"))


def test_no_fitting_dataset_is_an_error_that_lists_the_known_ones(datasets: dict[str, Dataset]) -> None:
    with pytest.raises(DatasetError, match=r"known datasets: .*stocks"):
        choose_dataset(datasets, Path("/tmp/data.csv"), header=["a", "b"])
    with pytest.raises(DatasetError, match="unknown dataset 'nope'"):
        choose_dataset(datasets, Path("/tmp/stocks.csv"), name="nope")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one dataset"),
        ("a: [1]", "'a' must be a mapping"),
        ("a: {columns: {x: {}}, keys: [y]}", "key 'y' is not a column"),
        ("a: {columns: {x: {}}, keys: [x]}", "must be a required column"),
        ("a: {columns: {x: {required: true, typo: 1}}, keys: [x]}", r"columns\.x\.typo"),
        ("a: {columns: {x: {required: true}}, keys: [x], rules: [{name: r, severity: oh, expression: x}]}", "severity"),
        ("a: {x: [", "cannot be read"),
        ("a: {columns: {x: {required: true}}, keys: [x], source: {formats: [xml]}}", r"source\.formats"),
        ("a: {columns: {x: {required: true}}, keys: [x], source: {formats: []}}", r"source\.formats"),
        ("a: {columns: {x: {required: true}}, keys: [x], partitions: {x: y}}", "partition 'x' is a column"),
        (GOLD + "charts: [{title: t, table: h, x: d, y: n}]}", "there is no Gold table 'h'"),
        (GOLD + "charts: [{title: t, table: g, x: d, y: z}]}", "g has no column 'z'"),
        (
            "a: {columns: {x: {required: true}}, keys: [x], source: {options: {sep: '||'}}}",
            r"source: Value error, options.sep must be one character, such as ; or a tab; it is '\|\|'",
        ),
    ],
)
def test_a_wrong_definition_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "datasets.yaml"
    file.write_text(text)
    with pytest.raises(DatasetError, match=message):
        load_datasets(file)


def test_the_version_follows_the_definition(datasets: dict[str, Dataset]) -> None:
    stocks = datasets["stocks"]
    assert stocks.version == load_datasets(PROJECT_ROOT / "config" / "datasets.yaml")["stocks"].version
    assert stocks.model_copy(update={"rules": stocks.rules[:1]}).version != stocks.version
    # What only a report shows makes no other tables.
    assert stocks.model_copy(update={"charts": ()}).version == stocks.version


def test_groups_that_hang_on_other_columns_than_keys_are_not_incremental(datasets: dict[str, Dataset]) -> None:
    stocks = datasets["stocks"]
    monthly = stocks.gold["stocks_monthly"]
    assert monthly.follows_from(stocks)
    assert not monthly.model_copy(update={"group_by": {"level": "round(close)"}}).follows_from(stocks)
