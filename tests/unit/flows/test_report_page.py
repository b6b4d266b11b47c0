"""The report of a run: what it shows of counts, rules, measures and the past, whatever the values are."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from flows.lake.books import Books
from flows.lake.datasets import Dataset, load_datasets
from flows.lake.quality import GateResult
from flows.lake.report_data import MOST_SERIES, arranged
from flows.lake.report_page import RunReport, render
from flows.lake.staging import StagedFile
from schemas.quality import RuleResult

NOW = datetime(2024, 5, 6, 7, 8, tzinfo=UTC)
STAGED = StagedFile("file:///landing/%3Cscript%3E%24x.csv", "a" * 64, 1234, Path("/s"), ("symbol",), False)


@pytest.fixture(scope="module")
def stocks() -> Dataset:
    return load_datasets(PROJECT_ROOT / "config" / "datasets.yaml")["stocks"]


@pytest.fixture
def run(stocks: Dataset) -> RunReport:
    rules = (
        RuleResult(name="high_not_below_low", severity="quarantine", expression="high >= low", failed_rows=7),
        RuleResult(name="in_range", severity="warn", expression="a < b", failed_rows=0),
    )
    gate = GateResult(1100, 1000, 70, 20, 10, 81, rules, True)
    books = Books(1100, 1000, 70, 20, 10)
    return RunReport(stocks, STAGED, gate, books, {"/lake/silver/stocks": 4}, {"stocks_monthly": 12}, "run-1")


def shown(page: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<style.*?</style>", "", page)))


def changed(run: RunReport, **fields: Any) -> RunReport:
    """The same report but for some fields."""
    other = copy.copy(run)
    vars(other).update(fields)
    return other


def test_the_page_holds_the_books_the_rules_the_measures_and_the_past(run: RunReport, stocks: Dataset) -> None:
    points = [(date(2024, m, 1), "AAPL", 10.0 * m) for m in (1, 2, 3)]
    past = [changed(run, staged=replace(STAGED, uri="file:///old.csv")).as_past(NOW), run.as_past(NOW)]
    page = render(run, past, [arranged(stocks.charts[0], points)])
    text = " ".join(shown(page).split())
    assert "1,100 = 1,000 in Silver + 70 in quarantine + 20 dropped by a rule + 10 duplicates" in text
    assert "stocks: <script>$x.csv loaded, with rows in quarantine" in text
    assert "high_not_below_low quarantine 7 99.36 high >= low" in text
    assert "Closing price at the end of each month" in text
    assert "Gold stocks_monthly (groups)" in text
    assert "old.csv loaded 1,100 1,000 6.364" in text
    assert "/lake/silver/stocks 4" in text
    assert page.count("<svg") == 4
    assert "<script" not in page


def test_a_refused_file_shows_no_measure_and_leaves_the_layers_alone(run: RunReport) -> None:
    refused = changed(run, books=None, tables={}, groups={})
    assert refused.charts == ()
    text = shown(render(refused, [refused.as_past(NOW)], []))
    assert "Silver and Gold are as they were" in text
    assert "refused" in text
    assert "No table was changed." in text


def test_measures_of_any_kind_can_be_drawn(run: RunReport, stocks: Dataset) -> None:
    chart = stocks.charts[0]
    odd = [
        (date(2024, 1, 2), "a$b", 1.0),
        (date(2024, 1, 1), "a$b", float("nan")),
        (date(2024, 1, 1), "none", None),
        (date(2024, 1, 3), "<b>", float("inf")),
        (date(2024, 1, 3), "a$b", -5.0),
    ]
    measure = arranged(chart, odd)
    assert (measure.x, measure.series) == ([date(2024, 1, 2), date(2024, 1, 3)], {"a$b": [1.0, -5.0]})
    for points in (odd, [], [(Decimal(3), "x", 1.0)], [("São $Paulo$", "x_{", 1e300)], [(True, "x", 1.0)]):
        assert render(run, [run.as_past(NOW)], [arranged(chart, points)])


def test_the_largest_series_are_shown_and_the_others_counted(stocks: Dataset) -> None:
    measure = arranged(stocks.charts[0], [(1, f"s{n}", float(n)) for n in range(MOST_SERIES + 3)])
    assert (sorted(measure.series), measure.left_out) == (sorted(f"s{n}" for n in range(3, MOST_SERIES + 3)), 3)
    assert list(measure.series) == sorted(measure.series)
