"""The audit of Silver and Gold: what reached them behind the back of the gate."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from deltalake import DeltaTable, write_deltalake

from flows.maintenance_flow import maintenance_pipeline
from tests.integration.flows.maintenance.conftest import (
    OLD,
    RECENT,
    Lab,
    events_below,
    report_of,
)


async def test_the_audit_finds_what_broke_the_rules_behind_the_gates_back(lab: Lab, kafka_bootstrap: str) -> None:
    started, silver = datetime.now(UTC), DeltaTable(str(lab.lake.root / "silver/stocks"))
    rows = silver.to_pyarrow_table().slice(0, 3)
    at = rows.schema.get_field_index("volume")
    broken = rows.set_column(at, rows.schema.field(at), [[-5] * 3])
    write_deltalake(silver, broken, mode="append")
    gold = lab.lake.root / "gold/stocks_monthly"
    DeltaTable(str(gold)).update(updates={"trading_days": "99"}, predicate="month = '2001-12-01'")

    done = maintenance_pipeline()

    assert sorted(done["audits_failed"]) == ["gold/stocks_monthly", "silver/stocks"]
    events = [e for e in await events_below(kafka_bootstrap, lab.lake.root, started) if "quality" in e.type]
    found = {Path(e.data["table"]).parent.name: e for e in events}
    assert {e.type for e in events} == {"lab.quality.failed.v1"}
    by_rule = {rule["name"]: rule["failed_rows"] for rule in found["silver"].data["rules"]}
    assert (by_rule["volume_not_negative"], by_rule["key_unique"], by_rule["prices_positive"]) == (3, 3, 0)
    assert found["silver"].data["rows_checked"] == OLD + RECENT + 3
    gold_rules = {rule["name"]: rule["failed_rows"] for rule in found["gold"].data["rules"]}
    assert gold_rules["group_current"] >= 1
    assert (gold_rules["group_missing"], gold_rules["group_unique"]) == (0, 0)
    page = report_of(done)
    assert "volume_not_negative" in page
    assert "AAPL" in page
