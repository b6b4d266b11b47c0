"""Books, gate results, report and events: pure decisions on counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from flows.lake.announcements import TableUpdate, dataset_updated, quality_checked
from flows.lake.books import Books
from flows.lake.datasets import Dataset, load_datasets
from flows.lake.errors import BooksError, QualityRefusedError
from flows.lake.expressions import row_checks
from flows.lake.quality import GateResult, gate_result
from flows.lake.report import quality_report
from flows.lake.staging import StagedFile
from flows.lake.table_rules import table_checks
from flows.lake.tables import Table
from flows.runs import trace_from
from flows.trace import Trace

REPORT = Path("/lab/reports/x.html")
STAGED = StagedFile("file:///landing/stocks/x.csv", "a" * 64, 10, Path("/staging/x.csv"), ("symbol",), False)


@pytest.fixture(scope="module")
def stocks() -> Dataset:
    return load_datasets(PROJECT_ROOT / "config" / "datasets.yaml")["stocks"]


def gate_of(stocks: Dataset, *, with_rules: bool = True, **counts: int) -> GateResult:
    checks = row_checks(stocks, with_rules=with_rules)
    tables = table_checks(stocks, 1000) if with_rules else []
    row: dict[str, Any] = {f"row:{check.name}": 0 for check in checks} | {f"table:{check.name}": 0 for check in tables}
    row |= {"rows": 10, "rows_failed": 0, "passed": 10, "quarantined": 0, "dropped": 0, "duplicates": 0}
    row |= {name.replace("__", ":"): count for name, count in counts.items()}
    return gate_result(stocks, row, checks, tables, with_rules=with_rules)


def test_books_balance_or_name_the_numbers() -> None:
    Books(rows_in=10, silver=6, quarantined=2, dropped=1, duplicates=1).check()
    with pytest.raises(BooksError, match=r"10 rows in, 9 out = 6 in Silver \+ 2 quarantined \+ 0 dropped \+ 1"):
        Books(rows_in=10, silver=6, quarantined=2, dropped=0, duplicates=1).check()


def test_warnings_and_duplicates_do_not_fail_the_gate(stocks: Dataset) -> None:
    gate = gate_of(stocks, row__open_and_close_in_range=3, duplicates=2, rows_failed=3)
    assert gate.passed
    gate.raise_if_refused("x")


def test_a_quarantine_rule_fails_the_gate_without_refusing_the_file(stocks: Dataset) -> None:
    gate = gate_of(stocks, row__prices_positive=1, rows_failed=1, quarantined=1, passed=9)
    assert not gate.passed
    assert gate.refused_by == []


def test_a_fail_rule_refuses_the_file_and_says_why(stocks: Dataset) -> None:
    gate = gate_of(stocks, table__row_count=1)
    with pytest.raises(QualityRefusedError, match=r"row_count \(count\(\*\) >= 1000\); the file has 10 rows"):
        gate.raise_if_refused("x.csv")


def test_switching_the_gate_off_leaves_what_silver_needs(stocks: Dataset) -> None:
    names = [check.name for check in row_checks(stocks, with_rules=False)]
    assert {"well_formed", "date_present", "date_valid", "symbol_present"} <= set(names)
    assert "prices_positive" not in names
    report = quality_report(stocks, STAGED.uri, gate_of(stocks, with_rules=False), None, {})
    assert "switched off" in report


def test_event_ids_follow_the_cause_and_not_the_run(stocks: Dataset) -> None:
    failed = gate_of(stocks, row__prices_positive=1)
    table = Table("/lake/bronze/stocks")
    first = quality_checked(Trace("run-1", "event-1", "chain"), stocks, table, STAGED, failed, REPORT)
    again = quality_checked(Trace("run-2", "event-1", "chain"), stocks, table, STAGED, failed, REPORT)
    passed = quality_checked(Trace("run-2"), stocks, table, STAGED, gate_of(stocks), REPORT)
    assert first.id == again.id != passed.id
    assert (first.type, passed.type) == ("lab.quality.failed.v1", "lab.quality.passed.v1")
    assert (first.causationid, first.correlationid) == ("event-1", "chain")
    ids = {dataset_updated(Trace(), stocks, STAGED, TableUpdate("gold", Table(path), 3, 9, 2)).id for path in "abb"}
    assert len(ids) == 2


def test_the_trace_is_read_from_the_tags_of_the_run() -> None:
    assert trace_from("r", ["etl", "datalab.event=e1", "datalab.correlation=c1"]) == Trace("r", "e1", "c1")
    assert trace_from(None, []) == Trace()
    event = dataset_updated(
        trace_from("r", ["datalab.event=e1"]), _any_dataset(), STAGED, TableUpdate("bronze", Table("t"), 0, 1, 1)
    )
    assert (event.causationid, event.correlationid) == ("e1", "e1")


def _any_dataset() -> Dataset:
    return Dataset.model_validate({"name": "d", "columns": {"k": {"required": True}}, "keys": ["k"]})
