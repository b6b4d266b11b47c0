"""Purge: whole partitions whose newest row is older than the dataset's retention. First a plan, then the DELETE.

A table without partitions is purged by months. Rows without a date stay, and so does the partition that they are in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from flows.lake.datasets import Gold, Retention
from flows.lake.gold import group_columns
from flows.lake.tables import ident, text
from flows.upkeep.errors import PurgeRefusedError, UpkeepError
from flows.upkeep.inventory import LakeTable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Partition:
    """A partition that would go. `condition` selects its rows."""

    label: str
    condition: str
    rows: int
    oldest: date
    newest: date


@dataclass(frozen=True)
class PurgePlan:
    """What a purge would delete from a table of `rows_total` rows: partitions all of whose rows are before `cutoff`."""

    table: str
    cutoff: date
    rows_total: int
    partitions: tuple[Partition, ...]

    @property
    def rows(self) -> int:
        return sum(partition.rows for partition in self.partitions)

    @property
    def condition(self) -> str:
        return " OR ".join(f"({partition.condition})" for partition in self.partitions)

    def check(self, max_share: float, *, force: bool) -> None:
        """Raise PurgeRefusedError with the numbers if more rows would go than may, unless forced."""
        if self.rows > max_share * self.rows_total and not force:
            raise PurgeRefusedError(
                f"{self.table}: the purge would delete {self.rows:,} of {self.rows_total:,} rows "
                f"({self.rows / self.rows_total:.0%}; rows before {self.cutoff}), more than max_purge_share="
                f"{max_share:.0%}; nothing was deleted. Check the retention in config/datasets.yaml, or run once with "
                f"force_purge=True and tables=['{self.table}']"
            )


def plan_purge(spark: SparkSession, table: LakeTable, retention: Retention, today: date) -> PurgePlan:
    """What is older than the retention allows. Reads only."""
    cutoff = today - timedelta(days=retention.keep_days)
    units = _units(table, retention)
    day = f"CAST({retention.date} AS DATE)"
    columns = ", ".join(f"{sql} AS _unit{i}" for i, sql in enumerate(units.values()))
    places = ", ".join(str(i + 1) for i in range(len(units)))
    found = spark.sql(
        f"SELECT {columns}, count(*) AS _rows, count({day}) AS _dated, min({day}) AS _oldest, max({day}) AS _newest "
        f"FROM {table.table.sql} GROUP BY {places} ORDER BY {places}"
    ).collect()
    old = [row for row in found if row["_dated"] == row["_rows"] and row["_newest"] < cutoff]
    return PurgePlan(
        table=table.full_name,
        cutoff=cutoff,
        rows_total=sum(row["_rows"] for row in found),
        partitions=tuple(_partition(units, row) for row in old),
    )


def require_whole_groups(spark: SparkSession, table: LakeTable, plan: PurgePlan) -> None:
    """Raise PurgeRefusedError if a group of Gold would lose only a part of its rows of Silver: from then on nobody
    could tell whether its aggregates are right, and the next file for it would make them wrong."""
    for name, gold in table.dataset.gold.items():
        split = _split_groups(spark, table, gold, plan)
        if split:
            raise PurgeRefusedError(
                f"{table.full_name}: the purge of {len(plan.partitions)} partitions before {plan.cutoff} would take a "
                f"part of the rows of {split} groups of gold/{name}; nothing was deleted. Partition the table so that "
                "no group spreads over partitions, or change keep_days in config/datasets.yaml"
            )


def _split_groups(spark: SparkSession, table: LakeTable, gold: Gold, plan: PurgePlan) -> int:
    groups = ", ".join(group_columns(gold))
    found = spark.sql(
        f"SELECT count(*) AS n FROM (SELECT bool_or(_goes) AS _some, bool_and(_goes) AS _all FROM "
        f"(SELECT struct({groups}) AS _group, ({plan.condition}) AS _goes FROM {table.table.sql}) GROUP BY _group) "
        "WHERE _some AND NOT _all"
    )
    return int(found.collect()[0]["n"])


def purge(spark: SparkSession, table: LakeTable, plan: PurgePlan) -> int:
    """Delete what was planned; returns the rows that are left, and raises UpkeepError unless it is the number planned.

    Hold the dataset since the plan was made. Doing it again changes nothing.
    """
    spark.sql(f"DELETE FROM {table.table.sql} WHERE {plan.condition}").collect()
    left = int(spark.sql(f"SELECT count(*) AS n FROM {table.table.sql}").collect()[0]["n"])
    if left != plan.rows_total - plan.rows:
        raise UpkeepError(
            f"{table.full_name}: {left:,} rows are left after the purge, {plan.rows_total - plan.rows:,} were planned; "
            "restore the backup of this run and look for another writer of the table"
        )
    return left


def _units(table: LakeTable, retention: Retention) -> dict[str, str]:
    """What is purged as a whole: a name for people, and the SQL."""
    columns = table.opened().metadata().partition_columns
    if columns:
        return {name: ident(name) for name in columns}
    return {"month": f"CAST(date_trunc('MONTH', CAST({retention.date} AS DATE)) AS DATE)"}


def _partition(units: dict[str, str], row: Any) -> Partition:
    values = [row[f"_unit{i}"] for i in range(len(units))]
    return Partition(
        label=", ".join(f"{name}={value}" for name, value in zip(units, values, strict=True)),
        condition=" AND ".join(f"{sql} <=> {literal(v)}" for sql, v in zip(units.values(), values, strict=True)),
        rows=row["_rows"],
        oldest=row["_oldest"],
        newest=row["_newest"],
    )


def literal(value: object) -> str:
    """A partition's value as SQL; raises UpkeepError for a type that has no exact literal."""
    match value:
        case None:
            return "NULL"
        case bool() | int() | Decimal():
            return str(value).lower()
        case str():
            return text(value)
        case datetime():
            return f"TIMESTAMP {text(value.isoformat())}"
        case date():
            return f"DATE {text(value.isoformat())}"
    raise UpkeepError(f"a partition by a {type(value).__name__} value ({value}) cannot be purged")
