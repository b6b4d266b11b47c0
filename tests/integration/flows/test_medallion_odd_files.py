"""Files as they come: each is loaded as it was meant, put in quarantine with its reason, or refused by name."""

from __future__ import annotations

import io
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from flows.lake.errors import BatchError
from flows.medallion_etl_flow import medallion_etl_pipeline
from tests.integration.flows.conftest import LakeView

HEADER = "symbol,date,open,high,low,close,volume"


def rows(symbol: str, *days: int) -> list[str]:
    return [f"{symbol},2024-01-{day:02},1,2,0.5,1.5,100" for day in days]


def as_parquet(symbol: str, damage: bool = False) -> bytes:
    table = pa.table(
        {
            "Ticker": [symbol, symbol],
            "Date": [date(2024, 1, 2), date(2024, 1, 3)],
            **{
                name: pa.array([Decimal("1.250000")] * 2, pa.decimal128(18, 6))
                for name in ("open", "high", "low", "close")
            },
            "volume": [100, None],
            "tags": [["a"], []],
        }
    )
    sink = io.BytesIO()
    parquet.write_table(table, sink, use_dictionary=False, compression="snappy")
    content = bytearray(sink.getvalue())
    if damage:
        content[4:60] = b"\xff" * 56  # pages, while the footer stays whole
    return bytes(content)


LOADED: dict[str, tuple[str | bytes, int]] = {
    "bom.csv": ("\ufeff" + "\n".join([HEADER, *rows("BOM", 2, 3)]), 2),
    "crlf.csv": ("\r\n".join([HEADER, *rows("CRLF", 2, 3)]) + "\r\n", 2),
    "quoted.csv": (f'{HEADER},note\n{rows("QUOTED", 2)[0]},"two\nlines, and ""quotes"""\n', 1),
    "extra.csv": (f"{HEADER},more\n{rows('EXTRA', 2)[0]},kept\n", 1),
    "one.csv": ("\n".join([HEADER, *rows("ONE", 2)]), 1),
    "table.parquet": (as_parquet("PARQUET"), 2),
}
# In Silver nothing of them; the rules that each row broke.
HELD: dict[str, tuple[str, int, set[str]]] = {
    "all-bad.csv": (f"{HEADER}\nBAD,2024-01-02,-1,2,0.5,1.5,1\nBAD,2024-01-03,1,2,0.5,-3,1\n", 2, {"prices_positive"}),
    "decimal-comma.csv": (f'{HEADER}\nCOMMA,2024-01-02,"1,5","2,5","0,5","1,5",100\n', 1,
                          {"open_valid", "high_valid", "low_valid", "close_valid"}),
    "bare-comma.csv": (f"{HEADER}\nBARE,2024-01-02,1,5,2,5,0,5,1,5,100\n", 1, {"well_formed"}),
    "short-row.csv": (f"{HEADER}\nSHORT,2024-01-02,1\n", 1, {"well_formed"}),
}  # fmt: skip
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "semicolon.csv": ("\n".join([HEADER, *rows("SEMI", 2)]).replace(",", ";"), "column symbol, date"),
    "no-column.csv": ("symbol,date,open,high,low,volume\nNONE,2024-01-02,1,2,0.5,1\n", "column close of dataset"),
    "mixed.csv": ("\n".join([HEADER, *rows("AÇO", 2)]).encode() + "\nAÇO,2024-01-03,1,2,1,1,1".encode("latin-1"),
                  "is not UTF-8 text"),
    "header-only.csv": (HEADER + "\n", "the file has a header and no row"),
    "nothing.csv": ("", "the file is empty"),
    "damaged.parquet": (as_parquet("DAMAGED", damage=True), "is damaged, or no Parquet file"),
    "cut.parquet": (as_parquet("CUT")[:-20], "is damaged, or no Parquet file"),
    "text.parquet": ("\n".join([HEADER, *rows("TEXT", 2)]), "is damaged, or no Parquet file"),
}  # fmt: skip


@pytest.fixture
def outcome(lake: LakeView) -> tuple[LakeView, str, list[dict[str, Any]]]:
    """All of them in one directory, through one run."""
    for files in (LOADED, HELD, REFUSED):
        for name, (content, *_) in files.items():
            lake.put(name, content)
    with pytest.raises(BatchError) as refused:
        medallion_etl_pipeline(str(lake.landing), min_rows_threshold=1)
    return lake, str(refused.value), lake.rows("silver/stocks")


def test_every_odd_file_ends_in_a_named_state(outcome: tuple[LakeView, str, list[dict[str, Any]]]) -> None:
    lake, said, silver = outcome
    ledger = {line["source_uri"].rpartition("/")[2]: line for line in lake.rows("ledger/stocks")}
    held = lake.rows("quarantine/stocks")
    for name, (_, count) in LOADED.items():
        assert (name, ledger[name]["rows_in"], ledger[name]["silver"]) == (name, count, count)
    for name, (_, count, rules) in HELD.items():
        line = ledger[name]
        assert (name, line["rows_in"], line["silver"], line["quarantined"]) == (name, count, 0, count)
        broken = [set(row["failed_rules"]) for row in held if row["_source_file"].endswith(f"/{name}")]
        assert len(broken) == count
        assert all(rules <= found for found in broken), (name, broken)
    for name, (_, reason) in REFUSED.items():
        assert f"{name}: {reason}" in said, name
        assert name not in ledger
    assert f"{len(REFUSED)} of {len(LOADED) + len(HELD) + len(REFUSED)} new files" in said
    by_symbol = {row["symbol"] for row in silver}
    assert by_symbol == {"BOM", "CRLF", "QUOTED", "EXTRA", "ONE", "PARQUET"}
    bronze = {row["symbol"]: row for row in lake.rows("bronze/stocks")}
    assert bronze["QUOTED"]["note"] == 'two\nlines, and "quotes"'
    assert bronze["EXTRA"]["more"] == "kept"
    assert bronze["PARQUET"]["tags"] in ('["a"]', "[]")
    assert bronze["BARE"]["_rescued_data"] == "BARE,2024-01-02,1,5,2,5,0,5,1,5,100"
