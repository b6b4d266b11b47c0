"""Gold: aggregates of Silver. Where groups follow from the keys, only those that an ingestion touched are recomputed.

The result depends on Silver alone, so that doing it again is harmless.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.lake.datasets import Dataset, Gold
from flows.lake.date_cuts import with_plain_cuts
from flows.lake.pruning import has_none, ranges_of, ranges_of_groups, within
from flows.lake.tables import Table, ident, text

if TYPE_CHECKING:
    import deltalake
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_SILVER, _TOUCHED, _FRESH = "gold_silver", "gold_touched", "gold_fresh"
# So many aggregated groups are held in memory: some 10 MB.
_FEW_GROUPS = 100_000


@dataclass(frozen=True)
class GoldUpdate:
    """What a refresh did: the version it wrote, and how many groups it recomputed."""

    version: int
    groups: int


def refresh(
    spark: SparkSession, table: Table, silver: Table, dataset: Dataset, gold: Gold, ingest_id: str
) -> GoldUpdate:
    """Bring the table up to date with Silver after an ingestion.

    A row of Silver bears the ingestion that wrote it last, and that one refreshes its group: none is left out.
    """
    quick = with_plain_cuts(dataset, gold)
    if table.version(spark) is None:
        fresh = recomputed(spark, silver, quick)
        fresh.write.format("delta").mode("append").save(table.path)
        return GoldUpdate(table.written_version(spark), table.row_count(spark))
    if not gold.follows_from(dataset):
        fresh = recomputed(spark, silver, quick)
        fresh.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(table.path)
        return GoldUpdate(table.written_version(spark), table.row_count(spark))
    rows = silver.read(spark)
    rows.createOrReplaceTempView(_SILVER)
    changed = rows.where(f"_ingest_id = {text(ingest_id)}")
    touched = changed.selectExpr(*group_columns(quick)).distinct().toArrow()
    if touched.num_rows:
        spark.createDataFrame(touched).createOrReplaceTempView(_TOUCHED)
        bounds = within(ranges_of_groups(dataset, gold, touched), _SILVER)
        _put(spark, table, gold, spark.sql(aggregate_sql(quick, f"true{bounds}")), touched)
    return GoldUpdate(table.written_version(spark), touched.num_rows)


def _put(spark: SparkSession, table: Table, gold: Gold, fresh: DataFrame, touched: pa.Table) -> None:
    """Replace the touched groups, as they are now. If the table has none of them they are appended."""
    ranges = ranges_of(touched)
    if has_none(table, ranges):
        fresh.write.format("delta").mode("append").option("mergeSchema", "true").save(table.path)
        return
    if touched.num_rows <= _FEW_GROUPS:
        few = fresh.toArrow()
        if _merged_here(table, gold, few):
            return
        fresh = spark.createDataFrame(few, fresh.schema)  # MERGE would aggregate twice
    fresh.createOrReplaceTempView(_FRESH)
    spark.sql(merge_sql(table, gold, within(ranges, "t"))).collect()


def _merged_here(table: Table, gold: Gold, few: pa.Table) -> bool:
    """Merge a few groups by deltalake, in a twentieth of the time of Spark's MERGE. False, with nothing done, where
    that is Spark's to do: it alone reaches the table, columns are new or of another type, or the table asks more of its
    writers than a plain one, such as a change feed."""
    import deltalake

    opened = table.opened()
    if opened is None or not table.takes_plain_writes():
        return False
    if _columns(deltalake.Schema.from_arrow(few.schema)) != _columns(opened.schema()):
        return False
    same = {name: f's."{name}" IS NOT DISTINCT FROM t."{name}"' for name in few.column_names}
    matched = " AND ".join(f"({same[name]})" for name in gold.group_by)
    unchanged = " AND ".join(f"({same[name]})" for name in gold.aggregates)
    merge = opened.merge(few, matched, source_alias="s", target_alias="t")
    merge.when_matched_update_all(predicate=f"NOT ({unchanged})").when_not_matched_insert_all().execute()
    return True


def _columns(schema: deltalake.Schema) -> dict[str, str]:
    return {field.name: str(field.type) for field in schema.fields}


def recomputed(spark: SparkSession, silver: Table, gold: Gold) -> DataFrame:
    """Every group as Silver has it now. Lazy; nothing is written."""
    silver.read(spark).createOrReplaceTempView(_SILVER)
    return spark.sql(aggregate_sql(gold))


def aggregate_sql(gold: Gold, touched_are_in: str | None = None) -> str:
    """The aggregates of all groups, or of the touched ones, all of whose rows meet a condition. The group is one
    struct, so that a group column may have the name of the column it derives from."""
    names = ", ".join(map(ident, gold.group_by))
    keys = ", ".join(f"_group.{ident(name)} AS {ident(name)}" for name in gold.group_by)
    aggregates = ", ".join(f"{expression} AS {ident(name)}" for name, expression in gold.aggregates.items())
    grouped = f"SELECT struct({', '.join(group_columns(gold))}) AS _group, * FROM {_SILVER}"
    if touched_are_in is None:
        return f"SELECT {keys}, {aggregates} FROM ({grouped}) GROUP BY _group"
    return (
        f"WITH grouped AS ({grouped} WHERE {touched_are_in}), "
        f"touched AS (SELECT struct({names}) AS _group FROM {_TOUCHED}) "
        f"SELECT {keys}, {aggregates} FROM grouped g LEFT SEMI JOIN touched t ON g._group <=> t._group GROUP BY _group"
    )


def merge_sql(table: Table, gold: Gold, bounds: str = "") -> str:
    """Replace changed groups, add new ones; all of them are within the bounds."""
    matched = " AND ".join(f"s.{ident(name)} <=> t.{ident(name)}" for name in gold.group_by)
    unchanged = " AND ".join(f"s.{ident(name)} <=> t.{ident(name)}" for name in gold.aggregates)
    return (
        f"MERGE WITH SCHEMA EVOLUTION INTO {table.sql} t USING {_FRESH} s ON {matched}{bounds} "
        f"WHEN MATCHED AND NOT ({unchanged}) THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    )


def group_columns(gold: Gold) -> list[str]:
    """The columns that name a group, over the rows of Silver."""
    return [f"{expression} AS {ident(name)}" for name, expression in gold.group_by.items()]
