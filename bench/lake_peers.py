"""What the lake stands beside: the guide's three steps as they are written there."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SCHEMA = (
    "symbol STRING, date DATE, open DECIMAL(18,6), high DECIMAL(18,6), low DECIMAL(18,6), close DECIMAL(18,6), "
    "volume BIGINT"
)


def straightforward(spark: SparkSession, source: Path, lake: Path, *, infer: bool) -> float:
    """Append to Bronze, overwrite Silver, overwrite Gold; seconds of all. As the guide's reader does, the schema is
    inferred, unless `infer` is false."""
    bronze, silver, gold = (str(lake / layer) for layer in ("bronze", "silver", "gold"))
    started = time.perf_counter()
    now = datetime.now(UTC).isoformat()
    reader = spark.read.option("header", "true")
    reader = reader.option("inferSchema", "true") if infer else reader.schema(_SCHEMA)
    rows = reader.csv(str(source)).selectExpr("*", f"'{now}' AS data_ingestao")
    rows.write.format("delta").mode("append").option("mergeSchema", "true").save(bronze)
    clean = spark.read.format("delta").load(bronze).dropna().where("open > 0 AND high > 0 AND low > 0 AND close > 0")
    clean = clean.selectExpr("*", f"'{now}' AS data_processamento", "year(date) AS year")
    clean.write.format("delta").mode("overwrite").partitionBy("year").save(silver)
    monthly = (
        spark.read.format("delta")
        .load(silver)
        .selectExpr("symbol", "CAST(date_trunc('MONTH', date) AS DATE) AS month", "high", "low", "volume")
        .groupBy("symbol", "month")
        .agg({"high": "max", "low": "min", "volume": "sum", "*": "count"})
        .toDF("symbol", "month", "high_max", "low_min", "volume_total", "days")
    )
    monthly.write.format("delta").mode("overwrite").save(gold)
    return time.perf_counter() - started
