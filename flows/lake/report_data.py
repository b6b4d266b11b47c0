"""What the report of a run shows beyond the run's own counts: the past of the dataset, and the measures in its Gold."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any

from flows.lake.books import COMPLETE, Books
from flows.lake.definitions import Chart
from flows.lake.tables import Table, ident, is_missing, text

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# What is drawn stays readable, and costs little whatever the size of the tables.
MOST_RUNS, MOST_SERIES, MOST_POINTS = 20, 8, 4000


@dataclass(frozen=True)
class PastRun:
    """A line of the ledger. `books` counts what the gate decided; a refused file reached neither Silver nor Gold."""

    finished_at: datetime
    source_uri: str
    refused: bool
    books: Books


@dataclass(frozen=True)
class Measure:
    """A chart's points: y by series over one x. `left_out` series have less than those that are shown."""

    chart: Chart
    x: list[Any]
    series: dict[str, list[float | None]]
    left_out: int = 0


def past_runs(spark: SparkSession, ledger: Table, but: str) -> list[PastRun]:
    """The latest ingestions but one, the oldest first. A file that was judged again counts by its last line."""
    lines = (
        "SELECT *, row_number() OVER (PARTITION BY ingest_id ORDER BY finished_at DESC) AS age "
        f"FROM {ledger.sql} WHERE ingest_id <> {text(but)}"
    )
    try:
        rows = spark.sql(
            "SELECT *, unix_seconds(finished_at) AS ended "
            f"FROM ({lines}) WHERE age = 1 ORDER BY finished_at DESC LIMIT {MOST_RUNS - 1}"
        ).collect()
    except Exception as error:
        if is_missing(error):
            return []
        raise
    return [
        PastRun(
            datetime.fromtimestamp(row["ended"], UTC),
            row["source_uri"],
            row["outcome"] != COMPLETE,
            Books(row["rows_in"], row["silver"], row["quarantined"], row["dropped"], row["duplicates"]),
        )
        for row in reversed(rows)
    ]


def measure(spark: SparkSession, table: Table, chart: Chart) -> Measure:
    """The newest points of a chart."""
    series = ident(chart.series) if chart.series else text(chart.y)
    rows = spark.sql(
        f"SELECT {ident(chart.x)} AS x, CAST({series} AS STRING) AS series, CAST({ident(chart.y)} AS DOUBLE) AS y "
        f"FROM {table.sql} WHERE {ident(chart.x)} IS NOT NULL ORDER BY x DESC LIMIT {MOST_POINTS}"
    ).collect()
    return arranged(chart, [(row["x"], row["series"] or "none", row["y"]) for row in rows])


def arranged(chart: Chart, points: list[tuple[Any, str, float | None]]) -> Measure:
    """The points as one list per series, by name, so that a series has one colour in all charts of a page. What is no
    number is absent."""
    found: dict[str, dict[Any, float]] = defaultdict(dict)
    for x, name, y in points:
        if y is not None and isfinite(y):
            found[name][_axis_value(x)] = y
    largest = sorted(found, key=lambda name: (-sum(map(abs, found[name].values())), name))
    shown = sorted(largest[:MOST_SERIES])
    xs = sorted({x for name in shown for x in found[name]})
    return Measure(chart, xs, {name: [found[name].get(x) for x in xs] for name in shown}, len(largest) - len(shown))


def _axis_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value if isinstance(value, int | float | date) else str(value)
