"""The data of `bench.lake`: daily prices of many symbols as CSV, and their dataset, with twelve rules.

Like a real file it has a few rows that break rules, some of them several, and a few that come twice.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from flows.lake.datasets import Dataset

DAYS = 2500
FIRST_DAY = np.datetime64("2014-01-01")
_EVERY_BAD, _EVERY_DOUBLE = 997, 1499

_RULES = {
    "open_positive": "open > 0",
    "high_positive": "high > 0",
    "low_positive": "low > 0",
    "close_positive": "close > 0",
    "volume_not_negative": "volume >= 0",
    "high_not_below_low": "high >= low",
    "open_in_range": "open BETWEEN low AND high",
    "close_in_range": "close BETWEEN low AND high",
    "date_plausible": "date BETWEEN DATE'1990-01-01' AND DATE'2090-01-01'",
    "symbol_known": "symbol RLIKE '^S[0-9]{5}$'",
    "not_flat": "high <> low OR volume = 0",
    "turnover_bounded": "close * volume < 1000000000000",
}
# What sends a row to quarantine, and what is only counted.
_WARN = ("not_flat", "turnover_bounded")


def dataset(*, with_rules: bool = True) -> Dataset:
    """The definition, as `config/datasets.yaml` would have it."""
    price = {"type": "decimal(18,6)", "required": True}
    rules = [
        {"name": name, "severity": "warn" if name in _WARN else "quarantine", "expression": expression}
        for name, expression in _RULES.items()
    ]
    return Dataset.model_validate(
        {
            "name": "ticks",
            "columns": {
                "symbol": {"required": True, "normalise": "upper"},
                "date": {"type": "date", "required": True},
                "open": price, "high": price, "low": price, "close": price,
                "volume": {"type": "bigint"},
            },
            "keys": ["symbol", "date"],
            "partitions": {"year": "year(date)"},
            "rules": rules if with_rules else [],
            "table_rules": [
                {"name": "row_count", "severity": "fail", "expression": "count(*) >= {min_rows_threshold}"}
            ] if with_rules else [],
            "gold": {
                "ticks_monthly": {
                    "group_by": {"symbol": "symbol", "month": "CAST(date_trunc('MONTH', date) AS DATE)"},
                    "aggregates": {
                        "high_max": "CAST(max(high) AS DOUBLE)",
                        "low_min": "CAST(min(low) AS DOUBLE)",
                        "volume_total": "sum(volume)",
                        "days": "count(*)",
                    },
                }
            },
        }
    )  # fmt: skip


def write_prices(path: Path, rows: int, *, symbols: int, first_day: int = 0, seed: int = 1) -> Path:
    """A file of about `rows` rows: each symbol on each day from `first_day` on, a day at a time."""
    number = np.arange(rows)
    symbol, day = number % symbols, first_day + number // symbols
    random = np.random.default_rng(seed)
    opened = np.round(random.uniform(5, 500, rows), 2)
    close = np.round(opened * random.uniform(0.95, 1.05, rows), 2)
    high = np.round(np.maximum(opened, close) * 1.01, 2)
    low = np.round(np.minimum(opened, close) * 0.99, 2)
    bad = number % _EVERY_BAD == _EVERY_BAD - 1
    high[bad] = -high[bad]
    twice = np.flatnonzero(number % _EVERY_DOUBLE == _EVERY_DOUBLE - 1)
    symbol[twice], day[twice] = symbol[twice - 1], day[twice - 1]
    names = pa.array([f"s{name:05d}" for name in range(symbols)])
    table = pa.table(
        {
            "symbol": names.take(pa.array(symbol)),
            "date": (FIRST_DAY + day).astype("datetime64[D]"),
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "volume": random.integers(0, 1_000_000, rows),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        # Arrow puts the header in quotes whatever it is told, and quotes keep Spark from reading a file in parallel.
        file.write(",".join(table.schema.names).encode() + b"\n")
        pacsv.write_csv(table, file, pacsv.WriteOptions(include_header=False, quoting_style="none"))
    return path
