"""Out of quarantine after a fix: the tables are those of a lake whose rules were right from the start."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from deltalake import DeltaTable
from typer.testing import CliRunner

from datalab.cli.main import build_app
from datalab.runtime.settings import PROJECT_ROOT
from flows.lake import gold, replay, results
from flows.lake.errors import BatchError, LakeError
from flows.medallion_etl_flow import medallion_etl_pipeline
from flows.quarantine_replay_flow import quarantine_replay
from schemas.envelope import Event
from tests.integration.flows.announced import events_about
from tests.integration.flows.conftest import LakeView

WRONG = {"name": "cheap", "severity": "quarantine", "expression": "close < 30"}
RIGHT = {"name": "cheap", "severity": "quarantine", "expression": "close < 100000"}
# Of what a run with the wrong rule and a replay leave, these tell of the rules at the time.
_OF_THE_RULES = ("bronze/stocks", "quality/stocks", "ledger/stocks")


class Rules:
    """The datasets of a test."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(PROJECT_ROOT / "config", folder)
        self._file = folder / "datasets.yaml"

    def set(self, rule: dict[str, str]) -> None:
        datasets = yaml.safe_load(self._file.read_text("utf-8"))
        others = [known for known in datasets["stocks"]["rules"] if known["name"] != rule["name"]]
        datasets["stocks"]["rules"] = [*others, rule]
        self._file.write_text(yaml.safe_dump(datasets, allow_unicode=True), "utf-8")


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rules:
    made = Rules(tmp_path / "config")
    monkeypatch.setenv("DATALAB_CONFIG_DIR", str(tmp_path / "config"))
    return made


@pytest.fixture
def file(lake: LakeView, few_stocks: Callable[..., str]) -> Path:
    """Good rows, a key that comes again with other values, and a row that no rule's fix makes good."""
    good = few_stocks(0, 60)
    again = good.splitlines()[5].split(",")
    return lake.put("prices.csv", good + ",".join([*again[:5], "29.5", *again[6:]]) + "\nIBM,,1,1,1,1,1,1\n")


def loaded_right(lake: LakeView, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, list[str]]:
    """The same file in a lake that never had the wrong rule."""
    other = LakeView(tmp_path / "right from the start", lake.landing)
    with monkeypatch.context() as patch:
        patch.setenv("LAKE_ROOT", str(other.root))
        medallion_etl_pipeline(str(file), min_rows_threshold=1)
    return {name: rows for name, rows in other.content().items() if name not in _OF_THE_RULES}


def without_rules_of_the_time(lake: LakeView) -> dict[str, list[str]]:
    return {name: rows for name, rows in lake.content().items() if name not in _OF_THE_RULES}


def latest_books(lake: LakeView) -> dict[str, int]:
    last = max(lake.rows("ledger/stocks"), key=lambda line: line["finished_at"])
    return {name: last[name] for name in ("rows_in", "silver", "quarantined", "dropped", "duplicates")}


def judged_again(lake: LakeView) -> list[tuple[str, int, int]]:
    """Rule, rows and failed rows of the quality table's lines that replays wrote, but for rules that held."""
    lines = [line for line in lake.rows("quality/stocks") if line["replay"]]
    return [(line["rule"], line["rows"], line["failed_rows"]) for line in lines if line["failed_rows"]]


def told_again(bootstrap: str, file: Path) -> list[Event]:
    """The quality events of replays; they still fail, as one record does."""
    events = asyncio.run(events_about(bootstrap, file.as_uri()))
    return [event for event in events if event.type == "lab.quality.failed.v1" and event.data.get("replay")]


def ends_after(step: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any, **options: Any) -> Any:
        step(*arguments, **options)
        raise LakeError(f"ended after {step.__name__}")

    return run


def test_after_a_fix_the_lake_is_what_it_would_have_been(
    lake: LakeView, rules: Rules, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kafka_bootstrap: str
) -> None:
    rules.set(WRONG)
    held = medallion_etl_pipeline(str(file), min_rows_threshold=1)["books"]["quarantined"]
    assert 1 < held < 62
    rules.set(RIGHT)
    as_it_came = lake.rows("quality/stocks")
    steps = ((gold, "refresh"), (results, "record"), (replay, "keep_failing"))
    for number, (module, name) in enumerate(steps, start=30):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, ends_after(getattr(module, name)))
            with pytest.raises(BatchError, match=f"ended after {name}"):
                quarantine_replay("stocks")
        # Whatever else is committed to the quarantine in between: it is the same replay.
        other = DeltaTable(str(lake.root / "quarantine/stocks"))
        other.alter.set_table_properties({"delta.logRetentionDuration": f"interval {number} days"})
        assert len(lake.rows("quarantine/stocks")) == (1 if name == "keep_failing" else held)
    # Each rule of the records, once, however often they were judged.
    assert judged_again(lake) == [("date_present", held, 1)]
    rows_tested = {(line["rows"], line["rules_version"]) for line in lake.rows("quality/stocks") if line["replay"]}
    assert rows_tested == {(held, lake.rows("quarantine/stocks")[0]["rules_version"])}
    done = quarantine_replay("stocks")
    assert (done["rows"], done["kept"], done["still_broken"]) == (1, 1, {"date_present": 1})
    assert sorted(judged_again(lake)) == [("date_present", 1, 1), ("date_present", held, 1)]
    replays = {event.id: event.data["rows_checked"] for event in told_again(kafka_bootstrap, file)}
    assert sorted(replays.values()) == [1, held]
    assert len(lake.rows("ledger/stocks")) == 2
    assert sum(not line["replay"] for line in lake.rows("quality/stocks")) == len(as_it_came)
    assert without_rules_of_the_time(lake) == loaded_right(lake, file, monkeypatch, tmp_path)
    assert latest_books(lake) == {"rows_in": 62, "silver": 60, "quarantined": 1, "dropped": 0, "duplicates": 1}


@pytest.mark.parametrize("dry_run", [True, False])
def test_records_that_break_a_rule_of_severity_fail_now_are_refused_and_nothing_changes(
    lake: LakeView, rules: Rules, file: Path, dry_run: bool
) -> None:
    rules.set(WRONG)
    medallion_etl_pipeline(str(file), min_rows_threshold=1)
    before = lake.content()
    rules.set(WRONG | {"severity": "fail"})
    with pytest.raises(BatchError, match=r"1 of 1 files were not replayed: .*refused by the quality gate: cheap"):
        quarantine_replay("stocks", dry_run=dry_run)
    assert lake.content() == before


def test_the_command_lists_shows_and_replays(lake: LakeView, rules: Rules, file: Path) -> None:
    def datalab(*words: str) -> Any:
        return CliRunner().invoke(build_app(), ["quarantine", *words])

    rules.set(WRONG)
    held = medallion_etl_pipeline(str(file), min_rows_threshold=1)["books"]["quarantined"]
    assert f"stocks: {held} records in quarantine\n" in datalab("list").stdout
    counts = json.loads(datalab("list", "stocks", "--json").stdout)["stocks"]
    assert (counts["records"], counts["by_source"]) == (held, {file.as_uri(): held})
    shown = json.loads(datalab("show", "stocks", "--json").stdout)
    assert {"date_present", "well_formed"} & {rule for record in shown for rule in record["failed_rules"]}
    unknown = datalab("show", "nothing")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("datalab: unknown dataset 'nothing'; known datasets: ")
    rules.set(RIGHT)
    tried = json.loads(datalab("replay", "stocks", "--dry-run", "--json").stdout.splitlines()[-1])
    assert (tried["rows"], tried["kept"], len(lake.rows("quarantine/stocks"))) == (held, 1, held)
    done = datalab("replay", "stocks", "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout.splitlines()[-1])
    # One record has a later one of its key in the file, which was never in quarantine.
    assert {name: summary[name] for name in ("merged", "superseded", "kept")} == {
        "merged": held - 2,
        "superseded": 1,
        "kept": 1,
    }
    assert "stocks: 1 record in quarantine\n" in datalab("list").stdout
