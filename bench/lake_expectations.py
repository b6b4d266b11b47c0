"""Great Expectations and the gate: the same twelve rules on the same frame, in one session of a process of its own.

`python -m bench.lake_expectations PARQUET` prints the seconds of each, the rows that each found, as one JSON object. It
needs Great Expectations, which the project itself does not: `bench.lake` installs it into a directory beside the cache.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import great_expectations as gx
from great_expectations import expectations as gxe
from pyspark.sql import SparkSession

from bench import lake_data
from flows.lake.expressions import Check, broken_checks
from flows.lake.quality import rule_counts

_ROUNDS = 3


def main() -> None:
    """Both, in turn, after one time of each that is not counted."""
    os.environ["PYSPARK_SUBMIT_ARGS"] = "--driver-memory 1g pyspark-shell"
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.log.level", "ERROR")
        .config("spark.driver.extraJavaOptions", "-XX:+UseSerialGC -XX:-DontCompileHugeMethods")
        .getOrCreate()
    )
    frame = spark.read.parquet(sys.argv[1])
    took: dict[str, list[float]] = {"gate": [], "great_expectations": []}
    found: dict[str, dict[str, int]] = {}
    suite = _suite()
    for _ in range(1 + _ROUNDS):
        for name, judge in (("gate", lambda: _by_gate(frame)), ("great_expectations", lambda: _by_peer(suite, frame))):
            started = time.perf_counter()
            found[name] = judge()
            took[name].append(time.perf_counter() - started)
    if found["gate"] != found["great_expectations"]:
        sys.exit(f"they do not find the same: {found}")
    print(json.dumps({name: times[1:] for name, times in took.items()}))


def _by_gate(frame: Any) -> dict[str, int]:
    checks = [Check(rule.name, rule.severity, rule.expression, rule.expression) for rule in lake_data.dataset().rules]
    counted = frame.selectExpr("*", broken_checks(checks)).selectExpr(*rule_counts(checks)).collect()[0]
    return {check.name: counted[f"row:{check.name}"] for check in checks}


def _by_peer(batch_definition_and_suite: tuple[Any, Any], frame: Any) -> dict[str, int]:
    definition, suite = batch_definition_and_suite
    results = definition.get_batch({"dataframe": frame}).validate(suite, result_format="BASIC").results
    return {r.expectation_config.meta["rule"]: _unexpected(r.result) for r in results}


def _unexpected(result: dict[str, Any]) -> int:
    return int(result["unexpected_count"] if "unexpected_count" in result else result["observed_value"])


def _suite() -> tuple[Any, Any]:
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_spark("spark").add_dataframe_asset("frame")
    suite = gx.ExpectationSuite(name="twelve")
    for expectation in _expectations():
        suite.add_expectation(expectation)
    return asset.add_batch_definition_whole_dataframe("all"), suite


def _expectations() -> list[Any]:
    def named(rule: str) -> dict[str, Any]:
        return {"meta": {"rule": rule}}

    prices = ("open", "high", "low", "close")
    between = [
        gxe.ExpectColumnValuesToBeBetween(column=c, min_value=0, strict_min=True, **named(f"{c}_positive"))
        for c in prices
    ]
    queries = [
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=f"SELECT * FROM {{batch}} WHERE NOT ({rule.expression})", **named(rule.name)
        )
        for rule in lake_data.dataset().rules
        if rule.name in ("open_in_range", "close_in_range", "date_plausible", "not_flat", "turnover_bounded")
    ]
    return [
        *between,
        gxe.ExpectColumnValuesToBeBetween(column="volume", min_value=0, **named("volume_not_negative")),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="high", column_B="low", or_equal=True, **named("high_not_below_low")
        ),
        gxe.ExpectColumnValuesToMatchRegex(column="symbol", regex="^S[0-9]{5}$", **named("symbol_known")),
        *queries,
    ]


if __name__ == "__main__":
    main()
