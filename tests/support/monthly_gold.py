"""The Gold table of monthly prices without Spark: the aggregation of `config/datasets.yaml` by pandas."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from bokeh_sampledata import __file__ as sampledata
from deltalake import DeltaTable, write_deltalake


def real_prices() -> pd.DataFrame:
    """The real daily prices: 12,154 rows of five symbols."""
    content = gzip.decompress((Path(sampledata).parent / "_data" / "stocks.csv.gz").read_bytes())
    daily = pd.read_csv(BytesIO(content), parse_dates=["Date"])
    return daily.rename(columns=str.lower).rename(columns={"ticker": "symbol"})


def monthly_gold(daily: pd.DataFrame) -> pd.DataFrame:
    """`stocks_monthly` of daily prices; of the real ones, 586 rows."""
    daily = daily.sort_values(["symbol", "date"])
    month = daily["date"].dt.to_period("M").dt.to_timestamp().dt.date.rename("month")
    gold = daily.groupby(["symbol", month]).agg(
        open_first=("open", "first"),
        close_last=("close", "last"),
        high_max=("high", "max"),
        low_min=("low", "min"),
        close_mean=("close", "mean"),
        volume_total=("volume", "sum"),
        trading_days=("close", "count"),
    )
    gold["return_pct"] = 100 * (gold["close_last"] / gold["open_first"] - 1)
    return gold.reset_index()


def with_newest_month_times(daily: pd.DataFrame, symbol: str, factor: float) -> pd.DataFrame:
    """The prices of a symbol's newest month multiplied; every rule of quality still holds."""
    newest = daily.loc[daily["symbol"] == symbol, "date"].max().to_period("M")
    chosen = (daily["symbol"] == symbol) & (daily["date"].dt.to_period("M") == newest)
    changed = daily.copy()
    changed.loc[chosen, ["open", "high", "low", "close"]] *= factor
    return changed


def write_gold(root: Path, gold: pd.DataFrame) -> int:
    """Write the table below the lake's root as its next version, which is returned."""
    path = root / "gold" / "stocks_monthly"
    write_deltalake(path, gold, mode="overwrite")
    return DeltaTable(path).version()


def invented_gold(echo: Callable[[int], float], *, months: int = 120, seed: int = 1) -> pd.DataFrame:
    """A Gold table of three symbols whose change is `echo(month)` times the one before, and noise. An echo near -1 can
    be learnt from, an echo of 0 is noise alone."""
    random = np.random.default_rng(seed)
    tables = []
    for symbol in ("AAA", "BBB", "CCC"):
        change, value, values = 0.0, 100.0, []
        for month in range(months):
            change = echo(month) * change + random.normal(0, 3)
            value *= 1 + change / 100
            values.append(value)
        close = np.array(values)
        columns = {"close_last": close, "high_max": close * 1.02, "low_min": close * 0.98}
        tables.append(
            pd.DataFrame(columns).assign(
                symbol=symbol,
                month=pd.date_range("2010-01-01", periods=months, freq="MS").date,
                volume_total=random.integers(1_000, 2_000, months),
            )
        )
    return pd.concat(tables, ignore_index=True)
