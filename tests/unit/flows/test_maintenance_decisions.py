"""What maintenance decides without Spark: what may be purged, which tables, what is measured, and how it is said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from datalab.runtime.settings import PROJECT_ROOT
from flows.config import DEPLOYMENTS
from flows.lake.datasets import Dataset, load_datasets
from flows.lake.tables import Lake
from flows.trace import Trace
from flows.upkeep.announcements import events_of
from flows.upkeep.audit import Audit, same_value, silver_checks
from flows.upkeep.contents import Content
from flows.upkeep.errors import MaintenanceError, PurgeRefusedError, UpkeepError
from flows.upkeep.forecast import days_until_full, expected_bytes
from flows.upkeep.inventory import chosen_tables, unknown_tables
from flows.upkeep.outcomes import Outcome, TableOutcome
from flows.upkeep.purge import Partition, PurgePlan, literal
from flows.upkeep.report import html_report
from flows.upkeep.summary import markdown_report, size
from flows.upkeep.usage_statistics import SMALL_FILE_BYTES, remember, remembered, small_files, usage_of
from schemas.quality import RuleResult
from tests.support.lake_tables import path_of

NOW = datetime(2026, 5, 2, 6, 0, tzinfo=UTC)
DATASET = Dataset.model_validate(
    {
        "name": "stocks",
        "columns": {"symbol": {"required": True}, "day": {"type": "date"}},
        "keys": ["symbol"],
        "rules": [{"name": "known", "severity": "warn", "expression": "symbol <> '<b>'"}],
        "gold": {"monthly": {"group_by": {"symbol": "symbol"}, "aggregates": {"n": "count(*)"}}},
        "retention": {"silver": {"date": "day", "keep_days": 30}},
    }
)


def plan(rows: int, total: int) -> PurgePlan:
    day = date(2020, 1, 1)
    return PurgePlan("silver/stocks", day, total, (Partition("year=2019", "`year` <=> 2019", rows, day, day),))


def failed_audit(table: str = "silver/stocks") -> Audit:
    rule = RuleResult(name="known", severity="fail", expression="symbol <> '<b>'", failed_rows=2)
    return Audit(table, f"/lake/{table}", "stocks", rows=10, rows_failed=2, rules=(rule,))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    root = tmp_path / "lake"
    for table in ("silver/stocks", "gold/monthly", "silver/forgotten"):
        write_deltalake(str(root / table), pa.table({"symbol": ["A", "B"]}), mode="append")
        write_deltalake(str(root / table), pa.table({"symbol": ["C"]}), mode="append")
    (root / "bronze" / "stocks" / "_delta_log").mkdir(parents=True)  # what a killed first write leaves
    return Lake(str(root), tmp_path)


def test_it_is_deployed_as_promised_and_prices_are_critical() -> None:
    deployment = next(d for d in DEPLOYMENTS if d.full_name == "maintenance/maintenance-weekly")
    assert (deployment.cron, deployment.pool) == ("0 3 * * 6", "mlops-pool")
    datasets = load_datasets(PROJECT_ROOT / "config" / "datasets.yaml")
    assert [name for name, dataset in datasets.items() if dataset.critical] == ["stocks"]


def test_upkeep_of_a_dataset_does_not_make_its_rows_other_rows() -> None:
    other = DATASET.model_copy(update={"critical": True, "retention": {}})
    assert other.version == DATASET.version


def test_a_purge_may_take_its_share_and_not_a_row_more() -> None:
    plan(50, 100).check(0.5, force=False)
    plan(51, 100).check(0.5, force=True)
    with pytest.raises(PurgeRefusedError, match=r"delete 51 of 100 rows \(51%; rows before 2020-01-01\)"):
        plan(51, 100).check(0.5, force=False)


def test_values_of_partitions_become_exact_literals() -> None:
    found = [literal(v) for v in (None, True, 3, Decimal("1.50"), "O'x", date(2020, 1, 2), NOW.replace(tzinfo=None))]
    assert found == [
        *("NULL", "true", "3", "1.50", r"'O\'x'", "DATE '2020-01-02'"),
        "TIMESTAMP '2026-05-02T06:00:00'",
    ]
    with pytest.raises(UpkeepError, match="by a float value"):
        literal(1.5)


def test_tables_are_chosen_by_dataset_or_by_name(lake: Lake) -> None:
    datasets = {"stocks": DATASET}

    def names(wanted: list[str] | None) -> list[str]:
        return [t.full_name for tables in chosen_tables(lake, datasets, wanted).values() for t in tables]

    assert names(None) == names(["stocks"]) == ["silver/stocks", "gold/monthly"]
    assert names(["gold/monthly"]) == ["gold/monthly"]
    assert names([]) == []
    with pytest.raises(UpkeepError, match="unknown 'bronze/stocks'; datasets: stocks; tables: gold/monthly, silver/st"):
        names(["bronze/stocks"])
    assert unknown_tables(datasets.values(), lake) == ["silver/forgotten"]


def test_usage_is_measured_and_growth_is_told_from_the_last_run(lake: Lake, tmp_path: Path) -> None:
    [silver, gold] = chosen_tables(lake, {"stocks": DATASET}, None)["stocks"]
    usage = usage_of(silver, NOW)
    assert (usage.rows, usage.files, usage.version, usage.versions_kept, usage.small_files) == (3, 2, 1, 2, 2)
    assert usage.size_bytes < usage.disk_bytes
    assert usage.last_write is not None
    assert usage.last_operation == "WRITE"
    file = tmp_path / "kept" / "usage.json"
    assert remembered(file) == {}
    remember(file, [usage, usage_of(gold, NOW)])
    remember(file, [usage.model_copy(update={"rows": 1})])
    assert {name: figures.rows for name, figures in remembered(file).items()} == {"silver/stocks": 1, "gold/monthly": 3}
    done = Outcome(dry_run=False, tables=[TableOutcome("silver/stocks", critical=True, usage=usage)])
    assert "| silver/stocks | 3 | +2 |" in markdown_report(done, remembered(file), file)
    file.write_text("{broken")
    assert remembered(file) == {}


def test_upkeep_itself_is_no_write(lake: Lake) -> None:
    silver = chosen_tables(lake, {"stocks": DATASET}, None)["stocks"][0]
    before = usage_of(silver, NOW)
    DeltaTable(str(path_of(silver))).optimize.compact()
    after = usage_of(silver, NOW)
    assert (after.version, after.files) == (before.version + 1, 1)
    assert (after.last_write, after.last_operation) == (before.last_write, "WRITE")


def test_small_files_are_those_that_could_be_merged() -> None:
    files = [("y=1/a", 10), ("y=1/b", 10), ("y=2/a", 10), ("y=3/a", SMALL_FILE_BYTES), ("y=3/b", 10)]
    assert small_files(files) == 2


def test_contents_are_compared_column_by_column() -> None:
    content = Content(rows=2, columns={"a": "1", "b": "2"}, row_sum="3")
    changes = ({"rows": 1}, {"columns": {"a": "1"}}, {"columns": {"a": "1", "b": "9"}}, {"row_sum": "9"})
    said = [content.difference(content.model_copy(update=change)) for change in changes]
    assert said[0] == "2 rows became 1"
    assert said[1:] == ["columns a, b became a", "other values in column b", "values changed places between rows"]
    assert content.difference(content) is None


def test_silver_is_held_against_presence_and_its_own_rules() -> None:
    assert [(c.name, c.severity) for c in silver_checks(DATASET)] == [
        ("symbol_present", "quarantine"),
        ("known", "warn"),
    ]
    assert same_value("n", "bigint") == "f.`n` <=> g.`n`"
    assert "1e-09" in same_value("n", "double")
    assert same_value("n", None) == "false"


def test_what_one_cause_stopped_is_said_once() -> None:
    first, second = TableOutcome("silver/a", critical=True), TableOutcome("silver/b", critical=True)
    first.problems |= {"purge": "Spark is down", "backup": "no room"}
    second.problems["purge"] = "Spark is down"
    outcome = Outcome(dry_run=False, tables=[first, second])
    with pytest.raises(MaintenanceError) as failed:
        outcome.raise_if_incomplete()
    said = "purge of silver/a, purge of silver/b: Spark is down | backup of silver/a: no room"
    assert str(failed.value) == f"maintenance is incomplete, 3 steps were not done: {said}"


def test_events_have_ids_of_the_run_and_a_failed_audit_is_the_last_word() -> None:
    passed = Audit("gold/monthly", "/lake/gold/monthly", "stocks", rows=5, rows_failed=0, rules=())
    tables = [
        TableOutcome("silver/stocks", critical=True, audit=failed_audit()),
        TableOutcome("gold/monthly", critical=True, audit=passed),
    ]
    outcome = Outcome(dry_run=False, tables=tables)
    events = events_of(Trace(run_id="run-1", event_id="cause", correlation_id="chain"), outcome)
    quality = [event for event in events if event.type.startswith("lab.quality")]
    assert [event.type for event in quality] == ["lab.quality.passed.v1", "lab.quality.failed.v1"]
    assert quality[1].data["source_uri"] == "file:///lake/silver/stocks"
    assert {(event.causationid, event.correlationid) for event in events} == {("cause", "chain")}
    again = events_of(Trace(run_id="run-1", event_id="cause", correlation_id="chain"), outcome)
    other = events_of(Trace(run_id="run-2"), outcome)
    assert [event.id for event in again] == [event.id for event in events]
    assert not {event.id for event in other} & {event.id for event in events}


def test_the_report_escapes_and_shows_what_was_not_done() -> None:
    table = TableOutcome("silver/stocks", critical=True, audit=failed_audit(), purge=plan(51, 100))
    table.problems["purge"] = "51 of 100 rows <script>"
    page = html_report(Outcome(dry_run=False, tables=[table], unknown_tables=["silver/forgotten"]), {}, NOW)
    assert "<script>" not in page
    assert "symbol &lt;&gt; &#39;&lt;b&gt;&#39;" in page
    for words in ("incomplete", "purge of silver/stocks", "51 rows kept", "silver/forgotten", "02 May 2026, 03:00"):
        assert words in page
    assert [size(n) for n in (999, 1_500, 2_000_000, 3e15)] == ["999 B", "1.5 kB", "2.0 MB", "3,000.0 TB"]


def test_growth_goes_on_in_the_forecast_as_it_was_and_tells_when_the_disk_is_full(lake: Lake) -> None:
    silver = usage_of(chosen_tables(lake, {"stocks": DATASET}, None)["stocks"][0], NOW)
    then = {"silver/stocks": silver.model_copy(update={"size_bytes": 1000, "measured_at": NOW - timedelta(days=10)})}
    now = silver.model_copy(update={"size_bytes": 3000})
    assert expected_bytes(now, then["silver/stocks"]) == 9000
    assert days_until_full([now], then, 20_000) == 100
    shrunk = silver.model_copy(update={"size_bytes": 100})
    assert (expected_bytes(shrunk, then["silver/stocks"]), days_until_full([shrunk], then, 1)) == (0, None)
    assert (expected_bytes(now, None), days_until_full([now], {}, 1)) == (None, None)
    an_hour_ago = now.model_copy(update={"size_bytes": 1, "measured_at": NOW - timedelta(hours=1)})
    assert expected_bytes(now, an_hour_ago) is None
    outcome = Outcome(False, free_bytes=20_000, tables=[TableOutcome("silver/stocks", True, usage=now)])
    page = html_report(outcome, then, NOW)
    assert "9.0 kB" in page
    assert "20.0 kB free: enough for 100 days of that." in page
