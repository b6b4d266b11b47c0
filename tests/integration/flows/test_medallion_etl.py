"""The medallion ETL on real Spark, Kafka and Prefect: what ends up in the tables and in the topics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from prefect import tags
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.lake.errors import BatchError, BooksError, QualityRefusedError, SourceError
from flows.medallion_etl_flow import medallion_etl_pipeline
from tests.integration.flows.announced import events_about
from tests.integration.flows.conftest import LakeView

FewStocks = Callable[..., str]


async def test_the_real_file_reaches_gold_once_and_is_announced(
    lake: LakeView, stocks_csv: str, kafka_bootstrap: str
) -> None:
    path = lake.put("stocks ação=1%20#{a}[b].csv", stocks_csv)
    with tags("datalab.event=event-1", "datalab.correlation=chain-1"):
        summary = medallion_etl_pipeline(path.as_uri())

    expected = {"rows_in": 12_154, "silver": 12_154, "quarantined": 0, "dropped": 0, "duplicates": 0}
    assert summary["books"] == expected
    assert summary["quality"] == "passed"
    bronze = lake.rows("bronze/stocks")
    assert len(bronze) == 12_154
    assert bronze[0]["_source_file"] == path.as_uri()
    assert {type(row["close"]) for row in bronze} == {Decimal}
    prices = {(row["symbol"], str(row["date"])): row for row in bronze}
    told = {(symbol, day): (close, adjusted) for symbol, day, _, _, _, close, _, adjusted in _lines(stocks_csv)}
    assert {key: row["close"] for key, row in prices.items()} == {key: Decimal(c) for key, (c, _) in told.items()}
    # The last column has twelve decimals: what says more is kept to the letter beside it, and nothing else is.
    longer = {key: adjusted for key, (_, adjusted) in told.items() if len(adjusted.partition(".")[2]) > 12}
    kept = {key: json.loads(row["_raw_record"]) for key, row in prices.items() if row["_raw_record"]}
    assert {key: record["adj_close"] for key, record in kept.items()} == longer
    assert {row["_event_id"] for row in bronze} == {"event-1"}
    months = {(row["symbol"], row["month"]): row for row in lake.rows("gold/stocks_monthly")}
    march = _month_by_hand(stocks_csv, "AAPL", "2000-03")
    gold = months["AAPL", date(2000, 3, 1)]
    assert {key: gold[key] for key in march} == pytest.approx(march)
    assert set(months) == {(symbol, date.fromisoformat(f"{day[:7]}-01")) for symbol, day, *_ in _lines(stocks_csv)}

    events = await events_about(kafka_bootstrap, path.as_uri())
    assert Counter(e.type for e in events) == {"lab.quality.passed.v1": 1, "lab.dataset.updated.v1": 3}
    assert {(e.causationid, e.correlationid) for e in events} == {("event-1", "chain-1")}
    assert {e.data["layer"] for e in events if "layer" in e.data} == {"bronze", "silver", "gold"}

    before = lake.content()
    again = medallion_etl_pipeline(str(path))
    assert again["books"] == expected
    assert lake.content() == before
    assert lake.version("bronze/stocks") == 0
    assert {e.id for e in await events_about(kafka_bootstrap, path.as_uri())} == {e.id for e in events}


def _lines(csv: str) -> list[list[str]]:
    return [line.split(",") for line in csv.splitlines()[1:]]


def _month_by_hand(csv: str, symbol: str, month: str) -> dict[str, float]:
    rows = [line.split(",") for line in csv.splitlines() if line.startswith(f"{symbol},{month}")]
    opens, highs, lows, closes, volumes = ([float(row[i]) for row in rows] for i in range(2, 7))
    return {
        "open_first": opens[0],
        "close_last": closes[-1],
        "high_max": max(highs),
        "low_min": min(lows),
        "close_mean": sum(closes) / len(closes),
        "volume_total": sum(volumes),
        "return_pct": 100 * (closes[-1] / opens[0] - 1),
        "trading_days": len(rows),
    }


BROKEN = """symbol,date,open,high,low,close,volume,note
AAPL,2020-01-02,-1,2,1,1.5,100,negative
AAPL,,1,2,1,1.5,100,no date
AAPL,31/31/2020,1,x,1,1.5,100,two broken
AAPL,2020-01-03,1,1,2,1.5,-5,three broken
AAPL,2020-01-04,NaN,2,1,1.5,100,not a number
AAPL,2020-01-05,1,2,1,1.5,100,one,field too many
AAPL,2020-01-06,1,2,1,1.5,100,first
 aapl ,2020-01-06,1,2,1,1.7,100,"last
of the key"
MSFT,2020-01-06,1,2,1,9.5,,warning only
"""


async def test_broken_rows_go_to_quarantine_with_every_reason_and_the_books_balance(
    lake: LakeView, kafka_bootstrap: str
) -> None:
    path = lake.put("broken.csv", BROKEN)
    summary = medallion_etl_pipeline(str(path), min_rows_threshold=1)

    assert summary["books"] == {"rows_in": 9, "silver": 2, "quarantined": 6, "dropped": 0, "duplicates": 1}
    reasons = {row["_row_number"]: set(row["failed_rules"]) for row in lake.rows("quarantine/stocks")}
    assert reasons == {
        1: {"prices_positive", "open_and_close_in_range"},
        2: {"date_present"},
        3: {"date_valid", "high_valid"},
        4: {"high_not_below_low", "volume_not_negative", "open_and_close_in_range"},
        5: {"open_valid"},
        6: {"well_formed"},
    }
    by_symbol = {row["symbol"]: row for row in lake.rows("silver/stocks")}
    assert {symbol: float(row["close"]) for symbol, row in by_symbol.items()} == {"AAPL": 1.7, "MSFT": 9.5}
    [failed] = [e for e in await events_about(kafka_bootstrap, path.as_uri()) if e.type.startswith("lab.quality")]
    assert failed.type == "lab.quality.failed.v1"
    assert (failed.data["rows_checked"], failed.data["rows_failed"]) == (9, 7)
    assert {rule["name"]: rule["failed_rows"] for rule in failed.data["rules"]}["key_unique"] == 1


def test_the_gate_can_be_switched_off_but_not_on_again_over_rows_it_would_have_stopped(lake: LakeView) -> None:
    path = lake.put("broken.csv", BROKEN)
    off = medallion_etl_pipeline(str(path), enable_quality_checks=False)
    assert off["books"] == {"rows_in": 9, "silver": 4, "quarantined": 4, "dropped": 0, "duplicates": 1}
    with pytest.raises(BooksError, match="9 rows in, 11 out = 4 in Silver"):
        medallion_etl_pipeline(str(path), min_rows_threshold=1)


async def test_too_few_rows_refuse_the_file_and_leave_silver_and_gold(
    lake: LakeView, few_stocks: FewStocks, kafka_bootstrap: str
) -> None:
    path = lake.put("few.csv", few_stocks())
    with pytest.raises(QualityRefusedError, match=r"row_count .*>= 1000.*60 rows"):
        medallion_etl_pipeline(str(path))
    assert [lake.has(t) for t in ("bronze/stocks", "silver/stocks", "gold/stocks_monthly")] == [True, False, False]
    assert [e.type for e in await events_about(kafka_bootstrap, path.as_uri())] == ["lab.quality.failed.v1"]


def progress_of(key: str) -> list[str | None]:
    """What the bars of this key say."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    return [bar.description for bar in found]


def test_a_directory_means_what_is_new_in_it_and_a_bad_file_keeps_no_other_out(
    lake: LakeView, few_stocks: FewStocks
) -> None:
    lake.put("a.csv", few_stocks(0, 30))
    lake.put("b.csv", b"\x89PNG\0\0")
    lake.put("c.csv", few_stocks(20, 30))
    with pytest.raises(BatchError, match=r"1 of 3 new files .*b\.csv: is not a text file"):
        medallion_etl_pipeline(str(lake.landing), min_rows_threshold=1)
    assert len(lake.rows("silver/stocks")) == 50
    assert "3 of 3: c.csv" in progress_of("medallion-stocks-progress")
    (lake.landing / "b.csv").unlink()
    assert medallion_etl_pipeline(str(lake.landing), min_rows_threshold=1)["files"] == []


def test_an_old_file_that_is_replayed_does_not_undo_a_correction(lake: LakeView, few_stocks: FewStocks) -> None:
    old = lake.put("old.csv", few_stocks(0, 3))
    new = lake.put("new.csv", few_stocks(0, 3).replace("130.31", "131.5"))
    for path in (old, new, old):
        summary = medallion_etl_pipeline(str(path), min_rows_threshold=1)
        assert summary["books"]["silver"] == 3
    assert max(float(row["close"]) for row in lake.rows("silver/stocks")) == 131.5
    assert len(lake.rows("bronze/stocks")) == 6


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.csv", None, "no such file"),
        ("empty.csv", "", "the file is empty"),
        ("header.csv", "symbol,date,open,high,low,close,volume\n", "a header and no row"),
        ("binary.csv", b"PK\x03\x04\0\0\0", "binary data"),
        ("semicolon.csv", "symbol;date;open;high;low;close;volume\nA;2020-01-01;1;1;1;1;1\n", "column symbol, date"),
    ],
)
def test_what_cannot_be_loaded_is_refused_and_leaves_no_table(
    lake: LakeView, name: str, content: str | bytes | None, message: str
) -> None:
    path = lake.landing / name if content is None else lake.put(name, content)
    with pytest.raises(SourceError, match=message):
        medallion_etl_pipeline(str(path))
    assert lake.content() == {}
