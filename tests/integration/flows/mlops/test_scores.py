"""Scores of the newest month: a wrong one is told, a right one ends it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from flows.medallion_etl_flow import medallion_etl_pipeline
from flows.mlops_flow import mlops_training_pipeline
from tests.integration.flows.conftest import LakeView
from tests.integration.flows.mlops.conftest import Bench
from tests.support.monthly_gold import (
    monthly_gold,
    with_newest_month_times,
    write_gold,
)


async def test_a_wrong_month_is_unusual_for_the_champion_and_a_right_one_is_normal_again(
    bench: Bench, prices: pd.DataFrame
) -> None:
    write_gold(bench.lake, monthly_gold(prices))
    first = mlops_training_pipeline()
    assert all(score["score"] < 4 and not score["unusual"] for score in first["scores"])
    wrong_version = write_gold(bench.lake, monthly_gold(with_newest_month_times(prices, "FB", 1.8)))
    wrong = mlops_training_pipeline(min_new_rows=50)
    assert (wrong["train"], wrong["new_rows"], wrong["champion"]) == (False, 1, "1")
    assert "1 of 586 rows are new since version 1 was trained; 50 are asked for" in wrong["reason"]
    assert [s["entity"] for s in wrong["scores"] if s["unusual"]] == ["FB"]
    assert wrong["scores"][0]["score"] > 6
    write_gold(bench.lake, monthly_gold(prices))
    mlops_training_pipeline(min_new_rows=50)
    assert len(bench.runs()) == 1

    about_fb = [e for e in await bench.events() if e.data.get("entity") == "FB"]
    assert [(e.type, e.data["data_version"]) for e in about_fb] == [
        ("lab.score.normal.v1", 0),
        ("lab.score.unusual.v1", wrong_version),
        ("lab.score.normal.v1", 2),
    ]
    unusual = about_fb[1].data
    assert unusual["observed"] == pytest.approx(wrong["scores"][0]["observed"])
    spread = float(bench.versions()[0].tags["datalab.spread"])
    assert unusual["score"] == pytest.approx(abs(unusual["observed"] - unusual["predicted"]) / spread)
    page = await bench.page()
    assert "Not trained: 1 of 586 rows are new" in page
    assert "**unusual**" in page

    again = mlops_training_pipeline(min_new_rows=50, data_version=wrong_version)
    assert again["scores"][0]["unusual"]
    repeated = [e.id for e in await bench.events() if e.type == "lab.score.unusual.v1"]
    assert len(repeated) == 2
    assert len(set(repeated)) == 1


async def test_files_through_the_etl_reach_the_champion_and_a_wrong_one_is_unusual(
    lake: LakeView, prices: pd.DataFrame, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chain that the rules drive, by hand: Gold as Spark writes it, and every rule of quality passed."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)
    loaded = medallion_etl_pipeline(str(lake.put("stocks.csv", prices.to_csv(index=False))))
    first = mlops_training_pipeline(data_version=gold_version(loaded), min_new_rows=50)
    assert (first["rows"], first["promoted"]) == (586, True)
    assert not any(score["unusual"] for score in first["scores"])
    written = {(row["symbol"], row["month"]): row for row in lake.rows("gold/stocks_monthly")}
    for row in monthly_gold(prices).to_dict("records"):
        found = written[row.pop("symbol"), row.pop("month")]
        assert {key: found[key] for key in row} == pytest.approx(row, rel=1e-6)

    changed = with_newest_month_times(prices, "FB", 1.8).query("symbol == 'FB'").tail(1)
    wrong = medallion_etl_pipeline(str(lake.put("wrong.csv", changed.to_csv(index=False))), min_rows_threshold=1)
    assert (wrong["quality"], wrong["failed_rules"]) == ("passed", {})
    second = mlops_training_pipeline(data_version=gold_version(wrong), min_new_rows=50)
    assert (second["train"], second["new_rows"], second["champion"]) == (False, 1, first["version"])
    assert [(s["entity"], s["score"] > 6) for s in second["scores"] if s["unusual"]] == [("FB", True)]


def gold_version(summary: dict[str, Any]) -> int:
    """As the event of the update names it."""
    return next(int(version) for table, version in summary["tables"].items() if table.endswith("/gold/stocks_monthly"))
