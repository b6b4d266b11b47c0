"""The guide's tutorial, on real Spark, Kafka and Prefect: JSON events through the same ETL with another definition."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from flows.lake.errors import BatchError, QualityRefusedError, SourceError
from flows.medallion_etl_flow import medallion_etl_pipeline
from flows.quarantine_audit_flow import quarantine_audit
from tests.integration.flows.conftest import LakeView
from tests.integration.flows.test_medallion_etl import events_about

DAY, NEXT = "2024-01-01", "2024-01-02"


def event(regiao: Any = "Sul", data: Any = DAY, valor: Any = 10, **others: Any) -> dict[str, Any]:
    return {"regiao": regiao, "data": data, "valor": valor, **others}


@pytest.fixture
def eventos(lake: LakeView) -> LakeView:
    return LakeView(lake.root, lake.landing.parent / "eventos")


def load(path: Path) -> dict[str, Any]:
    """As the bridge's rule does."""
    return medallion_etl_pipeline(path.as_uri(), min_rows_threshold=1)


def totals(lake: LakeView) -> Mapping[tuple[str, date], Decimal]:
    rows = lake.rows("gold/eventos_por_regiao")
    assert all(set(row) == {"regiao", "data", "total_valor"} for row in rows)
    return {(row["regiao"], row["data"]): row["total_valor"] for row in rows}


async def test_events_reach_gold_and_equal_ones_in_a_file_are_two(eventos: LakeView, kafka_bootstrap: str) -> None:
    rows = [event(), event(), event("São Paulo 🎉", NEXT, "12.50"), event(valor=0.000001)]
    path = eventos.put("eventos de janeiro.json", json.dumps(rows))
    summary = load(path)
    assert summary["dataset"] == "eventos"
    assert summary["books"] == {"rows_in": 4, "silver": 4, "quarantined": 0, "dropped": 0, "duplicates": 0}
    expected = {
        ("Sul", date(2024, 1, 1)): Decimal("20.000001"),
        ("São Paulo 🎉", date(2024, 1, 2)): Decimal("12.5"),
    }
    assert totals(eventos) == expected
    bronze = eventos.rows("bronze/eventos")
    assert sorted(row["_row_number"] for row in bronze) == [1, 2, 3, 4]
    assert all(row["data_ingestao"] is not None for row in bronze)
    assert {row["valor"] for row in bronze} == {Decimal(10), Decimal("12.5"), Decimal("0.000001")}
    written = {row["valor"]: json.loads(row["_raw_record"])["valor"] for row in bronze if row["_raw_record"]}
    assert written == {Decimal("0.000001"): "1e-06"}  # it might have said more than the type holds
    silver = eventos.rows("silver/eventos")
    assert not any(value is None for row in silver for value in row.values())
    assert {folder.name for folder in (eventos.root / "silver" / "eventos").glob("data=*")} == {
        f"data={DAY}",
        f"data={NEXT}",
    }
    assert {e.data["layer"] for e in await events_about(kafka_bootstrap, path.as_uri()) if "layer" in e.data} == {
        "bronze",
        "silver",
        "gold",
    }

    before = eventos.content()
    assert load(path)["books"] == summary["books"]
    assert eventos.content() == before
    # The same content under another name and in another format is the same events; one more is one more.
    assert load(eventos.put("again.json", json.dumps(rows)))["books"]["silver"] == 4
    assert totals(eventos) == expected
    load(eventos.put("more.jsonl", json.dumps(event(valor=1)) + "\n"))
    assert totals(eventos)["Sul", date(2024, 1, 1)] == Decimal("21.000001")


def test_what_is_no_event_goes_to_quarantine_with_its_reason(eventos: LakeView) -> None:
    bad = {
        '{"regiao": "Sul", "data"': "not JSON: Expecting ':' delimiter at column 25",
        "42": "a number and not an object",
        '{"regiao": "Sul", "data": "2024-01-01", "valor": 1, "valor": 2}': "valor is given twice",
        json.dumps(event(valor={"bruto": 1})): "valor is an object and not one value",
    }
    broken = [
        event(valor=0),
        event(valor=-1),
        event(valor=None),
        event(valor="12,5"),
        event(valor="NaN"),
        event(data="31/31/2024"),
        event(regiao="  "),
        event(regiao=None),
        {"regiao": "Sul", "valor": 3},
    ]
    good = [event(), event(valor="7")]
    path = eventos.put("mixed.jsonl", "\n".join([*bad, *map(json.dumps, [*broken, *good])]))
    summary = load(path)
    assert summary["books"] == {"rows_in": 15, "silver": 2, "quarantined": 13, "dropped": 0, "duplicates": 0}
    held = {row["_row_number"]: row for row in eventos.rows("quarantine/eventos")}
    assert [held[n]["fault"] for n in range(1, 5)] == list(bad.values())
    assert all("well_formed" in held[n]["failed_rules"] for n in range(1, 5))
    assert json.loads(held[1]["raw_record"])["_rescued_data"] == '{"regiao": "Sul", "data"'
    assert [held[n]["failed_rules"] for n in range(5, 14)] == [
        ["valor_positive"],
        ["valor_positive"],
        ["valor_present"],
        ["valor_valid"],
        ["valor_valid"],
        ["data_valid"],
        ["regiao_present"],
        ["regiao_present"],
        ["data_present"],
    ]
    found = quarantine_audit("eventos", path.as_uri())
    assert (found["rows"], found["by_rule"]["well_formed"]) == (13, 4)
    assert totals(eventos) == {("Sul", date(2024, 1, 1)): Decimal(17)}


def test_an_id_tells_events_apart_and_corrects_them(eventos: LakeView) -> None:
    first = eventos.put("a.json", json.dumps([event(id=1), event(id=2), event(id="1", valor=11), event()]))
    assert load(first)["books"] == {"rows_in": 4, "silver": 3, "quarantined": 0, "dropped": 0, "duplicates": 1}
    assert totals(eventos) == {("Sul", date(2024, 1, 1)): Decimal(31)}
    # The second event was of another region and day: its old group is empty now, and gone.
    load(eventos.put("b.json", json.dumps(event("Norte", NEXT, 5, id=2, canal="web"))))
    load(first)
    assert totals(eventos) == {("Sul", date(2024, 1, 1)): Decimal(21), ("Norte", date(2024, 1, 2)): Decimal(5)}


def test_a_new_field_in_a_later_file_becomes_a_column_of_bronze(eventos: LakeView) -> None:
    load(eventos.put("a.json", json.dumps([event()])))
    later = event(valor=2, **{"Canal de Venda": "web", "itens": [{"sku": "x"}], "data_ingestao": "mine"})
    summary = load(eventos.put("b.json", json.dumps([later])))
    assert summary["books"]["silver"] == 1
    new, old = sorted(eventos.rows("bronze/eventos"), key=lambda row: str(row["valor"]), reverse=True)
    assert (new["canal_de_venda"], new["itens"], old["canal_de_venda"]) == ("web", '[{"sku": "x"}]', None)
    assert new["data_ingestao"] != "mine"
    assert "mine" in new.values()
    assert totals(eventos) == {("Sul", date(2024, 1, 1)): Decimal(12)}


def test_a_directory_takes_every_format_once_and_names_the_file_that_is_none(eventos: LakeView) -> None:
    eventos.put("a.json", json.dumps(event()))
    eventos.put("b.ndjson", json.dumps(event()) + "\n")
    eventos.put("c.json", "[{]")
    eventos.put("d.csv", "regiao,data,valor\nSul,2024-01-01,1\n")
    with pytest.raises(BatchError, match=r"1 of 3 new files .*c\.json: is not a list in JSON"):
        medallion_etl_pipeline(str(eventos.landing), min_rows_threshold=1)
    assert totals(eventos) == {("Sul", date(2024, 1, 1)): Decimal(20)}
    (eventos.landing / "c.json").unlink()
    assert medallion_etl_pipeline(str(eventos.landing), min_rows_threshold=1)["files"] == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.json", "[]", "the file holds no record"),
        ("numbers.json", "[1, 2]", "no record is an object"),
        ("half.json", '[{"regiao": "Sul"', "is not a list in JSON"),
        ("other.json", '{"a": 1}', r"column regiao, data, valor of dataset 'eventos' is missing; the file has: a"),
        ("table.csv", "regiao,data,valor\nSul,2024-01-01,1\n", "the dataset takes .json or .jsonl"),
    ],
)
def test_what_holds_no_event_is_refused_and_leaves_no_table(
    eventos: LakeView, name: str, content: str, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        load(eventos.put(name, content))
    assert eventos.content() == {}


def test_the_threshold_of_the_deployment_holds_for_events_too(eventos: LakeView) -> None:
    with pytest.raises(QualityRefusedError, match=r"count\(\*\) >= 1000.*1 rows"):
        medallion_etl_pipeline(str(eventos.put("a.json", json.dumps(event()))))
