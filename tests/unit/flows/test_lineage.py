"""Lineage of an ingestion: tables, versions, columns; the same ids whenever it is said again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from flows.lake.datasets import Dataset, load_datasets
from flows.lake.lineage import as_lines, events, named_columns
from flows.lake.staging import StagedFile

STAGED = StagedFile("file:///in%20box/x.csv", "a" * 64, 10, Path("/s/x.csv"), ("symbol", "date", "note"), False)
VERSIONS = {"/my lake/bronze/stocks": 3, "/my lake/silver/stocks": 2, "/my lake/gold/stocks_monthly": 1}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def stocks() -> Dataset:
    return load_datasets(PROJECT_ROOT / "config" / "datasets.yaml")["stocks"]


@pytest.fixture(scope="module")
def said(stocks: Dataset) -> list[dict[str, Any]]:
    return events(stocks, STAGED, VERSIONS, "run-1", NOW)


def test_each_step_names_what_it_read_and_wrote_with_versions(said: list[dict[str, Any]]) -> None:
    chain = [(event["inputs"][0]["name"], event["outputs"][0]["name"]) for event in said]
    assert chain == [
        ("/in box/x.csv", "/my lake/bronze/stocks"),
        ("/my lake/bronze/stocks", "/my lake/silver/stocks"),
        ("/my lake/silver/stocks", "/my lake/gold/stocks_monthly"),
    ]
    assert [event["outputs"][0]["facets"]["version"]["datasetVersion"] for event in said] == ["3", "2", "1"]
    assert [event["job"]["name"] for event in said] == [
        "medallion-etl.stocks.bronze.stocks",
        "medallion-etl.stocks.silver.stocks",
        "medallion-etl.stocks.gold.stocks_monthly",
    ]
    for event in said:
        UUID(event["run"]["runId"])
        assert (event["eventType"], event["run"]["facets"]["prefect"]["flowRunId"]) == ("COMPLETE", "run-1")


def test_columns_are_followed_from_gold_to_the_file(said: list[dict[str, Any]]) -> None:
    def sources(event: dict[str, Any], column: str) -> set[str]:
        fields = event["outputs"][0]["facets"]["columnLineage"]["fields"]
        return {found["field"] for found in fields[column]["inputFields"]} if column in fields else set()

    bronze, silver, gold = said
    assert sources(gold, "return_pct") == {"close", "date", "open"}
    assert sources(gold, "month") == {"date"}
    assert sources(gold, "trading_days") == set()  # count(*) comes of no column
    assert sources(silver, "year") == {"date"}
    assert sources(silver, "close") == {"close"}
    assert (sources(bronze, "symbol"), sources(bronze, "close")) == ({"symbol"}, set())


def test_a_repeat_has_the_same_ids_and_another_version_another(stocks: Dataset, said: list[dict[str, Any]]) -> None:
    again = events(stocks, STAGED, VERSIONS, "run-2", NOW)
    later = events(stocks, STAGED, {name: n + 1 for name, n in VERSIONS.items()}, None, NOW)
    ids = [[event["run"]["runId"] for event in found] for found in (said, again, later)]
    assert ids[0] == ids[1]
    assert not set(ids[0]) & set(ids[2])
    assert [json.loads(line) for line in as_lines(said).splitlines()] == said


def test_words_in_texts_are_no_columns() -> None:
    assert named_columns("CASE WHEN a = 'b' THEN c END", ["a", "b", "c", "d"]) == ("a", "c")
