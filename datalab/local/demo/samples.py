"""The files of the demonstration: real stock prices, the same with rows broken on purpose, and with one that jumps."""

from __future__ import annotations

import csv
import gzip
import importlib.resources
import io
import os
from dataclasses import dataclass
from pathlib import Path

_NEGATIVE_PRICES, _MISSING_DATES, _REPEATED_ROWS = 25, 10, 40
SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
JUMPING_SYMBOL, _JUMP = "IBM", 1.8


@dataclass(frozen=True)
class Sample:
    """A file's content, and what is known of it before any system has seen it."""

    title: str
    content: bytes
    rows: int
    broken_rows: int
    repeated_rows: int

    @property
    def good_rows(self) -> int:
        """Rows that should reach Silver."""
        return self.rows - self.broken_rows - self.repeated_rows


def real_prices() -> Sample:
    """Daily prices of five symbols, 2000 to 2013: stocks.csv of the package bokeh_sampledata, as it is."""
    packed = importlib.resources.files("bokeh_sampledata").joinpath("_data", "stocks.csv.gz").read_bytes()
    content = gzip.decompress(packed)
    return Sample("real prices", content, len(_rows(content)), broken_rows=0, repeated_rows=0)


def broken_prices() -> Sample:
    """The same file with negative prices, missing dates and repeated rows, spread over the file."""
    content = real_prices().content
    header = content.decode().splitlines()[0].split(",")
    rows = _rows(content)
    step = len(rows) // (_NEGATIVE_PRICES + _MISSING_DATES + _REPEATED_ROWS)
    places = iter(range(0, len(rows), step))
    for _ in range(_NEGATIVE_PRICES):
        rows[next(places)]["Close"] = "-1.0"
    for _ in range(_MISSING_DATES):
        rows[next(places)]["Date"] = ""
    rows += [dict(rows[next(places)]) for _ in range(_REPEATED_ROWS)]
    broken = _NEGATIVE_PRICES + _MISSING_DATES
    return Sample("broken prices", _csv(header, rows), len(rows), broken, _REPEATED_ROWS)


def jumping_price() -> Sample:
    """The same file with one symbol's prices of its newest month far above the month before. No rule is broken."""
    content = real_prices().content
    header = content.decode().splitlines()[0].split(",")
    rows = _rows(content)
    newest = max(row["Date"][:7] for row in rows if row["Ticker"] == JUMPING_SYMBOL)
    for row in rows:
        if row["Ticker"] == JUMPING_SYMBOL and row["Date"].startswith(newest):
            row |= {name: f"{float(row[name]) * _JUMP:.6f}" for name in ("Open", "High", "Low", "Close", "Adj Close")}
    return Sample("a price that jumps", _csv(header, rows), len(rows), broken_rows=0, repeated_rows=0)


def drop(sample: Sample, target: Path) -> Path:
    """Put the file where ingest looks for it: written under a hidden name, then renamed, so it appears complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f".{target.name}.part")
    with hidden.open("wb") as file:
        file.write(sample.content)
        file.flush()
        os.fsync(file.fileno())
    return hidden.rename(target)


def _csv(header: list[str], rows: list[dict[str, str]]) -> bytes:
    written = io.StringIO()
    writer = csv.DictWriter(written, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue().encode()


def _rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))
