"""Which dataset a file belongs to, by its place and by `config/datasets.yaml`."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest
from structlog.testing import capture_logs

from datalab.runtime.settings import PROJECT_ROOT
from flows.lake.datasets import load_datasets
from services.ingest.dataset_file import DatasetFile, DatasetFileError, read_sources
from services.ingest.placement import Placement, place

CONFIG = """
stocks:
  source:
    formats: [csv, json]
    patterns: ["*stocks*.csv", "incoming/*/px-*.txt"]
    settle_seconds: 7
  columns: {not: {judged: here}}
eventos:
  source:
    formats: [jsonl]
    patterns: ["*.log"]
plain: {}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "datasets.yaml"
    path.write_text(CONFIG)
    return path


def rewrite(path: Path, content: str) -> None:
    path.write_text(content)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stocks/a.csv", Placement("stocks", "csv")),
        ("stocks/2026/eventos/a.json", Placement("stocks", "json")),
        ("plain/my-stocks.csv", Placement("plain", "csv")),
        ("MY-Stocks-2026.CSV", Placement("stocks", "csv")),
        ("unknown/my-stocks.csv", Placement("stocks", "csv")),
        ("unknown/a.csv", Placement("unknown", "csv")),
        ("unknown/incoming/x/px-1.txt", Placement("stocks", "csv")),
        ("incoming/x/px-1.txt", Placement("stocks", "csv")),
        ("app.log", Placement("eventos", "jsonl")),
    ],
)
def test_directory_then_pattern_then_whatever_the_directory_is_called(path: Path, name: str, expected: object) -> None:
    assert place(PurePath(name), read_sources(path)) == expected


@pytest.mark.parametrize("name", ["a.csv", "stocks/a.txt", "incoming/px-1.txt", "plain/a.log.gz"])
def test_what_fits_nothing_is_refused_with_a_reason(path: Path, name: str) -> None:
    assert isinstance(place(PurePath(name), read_sources(path)), str)


def test_without_datasets_the_first_directory_is_the_dataset() -> None:
    assert place(PurePath("stocks/a.csv"), {}) == Placement("stocks", "csv")
    assert isinstance(place(PurePath("stocks.csv"), {}), str)


def test_the_projects_own_file_reads_alike_for_ingest_and_flows() -> None:
    path = PROJECT_ROOT / "config" / "datasets.yaml"
    flows = {name: dataset.source.model_dump() for name, dataset in load_datasets(path).items()}

    assert {name: source.model_dump() for name, source in read_sources(path).items()} == flows


def test_when_a_file_is_complete_makes_no_new_version_of_its_tables(tmp_path: Path) -> None:
    text = (PROJECT_ROOT / "config" / "datasets.yaml").read_text("utf-8")
    changed = tmp_path / "datasets.yaml"
    changed.write_text(
        text.replace(
            "    formats: [csv, json, jsonl, parquet]\n",
            "    formats: [csv, json, jsonl, parquet]\n    settle_seconds: 9\n",
        )
    )
    before, after = load_datasets(PROJECT_ROOT / "config" / "datasets.yaml")["stocks"], load_datasets(changed)["stocks"]

    assert after.source.settle_seconds == 9
    assert after.version == before.version


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (CONFIG.replace("settle_seconds: 7", "settle_seconds: -7"), ":6: stocks.source.settle_seconds: "),
        (CONFIG.replace("[csv, json]", "[csv, xml]"), ":4: stocks.source.formats.1: "),
        (CONFIG.replace("[jsonl]", "7"), ":10: eventos.source.formats: "),
        (CONFIG.replace('["*.log"]', '[""]'), ":11: eventos.source.patterns.0: "),
        (CONFIG.replace("plain: {}", "stocks: {}"), ":12: stocks: stands twice"),
        (CONFIG.replace("plain: {}", "plain: 7"), ":12: plain: must be a map"),
        (CONFIG.replace("formats: [jsonl]", "formats: [jsonl"), ":11: not YAML"),
        (CONFIG.replace('patterns: ["*.log"]', "pattern: x"), ":11: eventos.source.pattern: "),
        ("- stocks\n", ":1: must be a map"),
    ],
)
def test_each_fault_is_named_with_its_line(path: Path, broken: str, words: str) -> None:
    path.write_text(broken)
    with pytest.raises(DatasetFileError) as raised:
        read_sources(path)
    assert words in str(raised.value)


async def test_a_wrong_file_leaves_what_was_in_force_and_is_said_once(path: Path) -> None:
    file = DatasetFile(path)
    file.refresh()
    assert file.settle_s(PurePath("stocks/a.csv")) == 7
    assert file.settle_s(PurePath("plain/a.csv")) is None

    rewrite(path, "stocks: [")
    with capture_logs() as logs:
        file.refresh()
        file.refresh()
    assert [entry["event"] for entry in logs] == ["datasets.refused"]
    assert "datasets.yaml:" in (await file.check() or "")
    assert file.settle_s(PurePath("stocks/a.csv")) == 7

    rewrite(path, "stocks: {source: {settle_seconds: 11}}")
    file.refresh()
    assert await file.check() is None
    assert file.settle_s(PurePath("stocks/a.csv")) == 11


async def test_no_file_means_no_patterns(tmp_path: Path) -> None:
    file = DatasetFile(tmp_path / "nothing.yaml")
    file.refresh()

    assert file.sources == {}
    assert await file.check() is None
