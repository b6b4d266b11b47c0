"""Charts, history, limits, alerts and topics as data."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from services.dashboard.answers.monitor import Alert, Histogram, Run, Threshold, Thresholds, Topics
from services.dashboard.client import RefusedError
from services.dashboard.language import phrases
from services.dashboard.views.alerts import most_severe_first
from services.dashboard.views.charts import bucket_rows, runs_by_flow, runs_over_time
from services.dashboard.views.flow_names import FlowKey
from services.dashboard.views.history import Filters, ask, to_csv
from services.dashboard.views.limits import change, override_keys, problems
from services.dashboard.views.topics import topic_lines
from tests.unit.dashboard.answers import ALERT, AT, HOSTILE, KNOWN, RUN, THRESHOLD

EN = phrases("en", ZoneInfo("America/Sao_Paulo"))
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def bucket(start: str, flow: str, state: str, runs: int) -> dict[str, object]:
    return {"start": start, "flow": flow, "deployment": f"{flow}/daily", "state_type": state, "runs": runs}


HISTOGRAM = Histogram.model_validate({
    "bucket_s": 3600, "since": "2026-03-01T12:30:00Z", "until": "2026-03-02T12:30:00Z", "starts": [],
    "counts": [
        bucket("2026-03-01T12:00:00Z", "etl", "COMPLETED", 2), bucket("2026-03-01T12:00:00Z", "ml", "COMPLETED", 3),
        bucket("2026-03-02T12:00:00Z", "etl", "FAILED", 1),
    ],
})  # fmt: skip


def test_bars_are_cut_at_the_period_and_shown_by_the_dashboards_clock() -> None:
    first, _, last = bucket_rows(HISTOGRAM, EN)

    assert (first["from"], first["to"]) == ("2026-03-01T09:30:00", "2026-03-01T10:00:00")
    assert (last["from"], last["to"]) == ("2026-03-02T09:00:00", "2026-03-02T09:30:00")
    assert (last["flow"], last["state"]) == ("etl / daily", "Failed")


def test_the_charts_count_every_run_once() -> None:
    over_time, by_flow = (chart(HISTOGRAM, EN).to_dict()["data"]["values"] for chart in (runs_over_time, runs_by_flow))

    assert [(row["state"], row["runs"]) for row in over_time] == [("Completed", 5), ("Failed", 1)]
    assert [(r["flow"], r["state"], r["runs"]) for r in by_flow] == [
        ("etl / daily", "Completed", 2), ("ml / daily", "Completed", 3), ("etl / daily", "Failed", 1),
    ]  # fmt: skip


def test_blocks_of_a_bucket_stand_on_each_other() -> None:
    both = HISTOGRAM.model_copy(update={"counts": [*HISTOGRAM.counts, HISTOGRAM.counts[0].model_copy(
        update={"state_type": "FAILED", "runs": 4})]})  # fmt: skip
    rows = runs_over_time(both, EN).to_dict()["data"]["values"]

    assert [(row["state"], row["low"], row["high"]) for row in rows] == [
        ("Completed", 0, 5), ("Failed", 5, 9), ("Failed", 0, 1),
    ]  # fmt: skip


def test_charts_carry_their_data_and_fetch_nothing() -> None:
    for chart in (runs_over_time, runs_by_flow):
        assert "url" not in chart(HISTOGRAM, EN).to_dict()["data"]


def test_a_question_asks_for_a_deployment_or_else_for_a_flow() -> None:
    deployed = ask(Filters(FlowKey("etl", "etl/daily"), "FAILED", "day", 25), NOW)
    alone = ask(Filters(FlowKey("etl", None), None, "all", 25), NOW)

    assert deployed.wanted == {"deployment": "etl/daily", "state": "FAILED", "since": "2026-03-01T12:00:00+00:00"}
    assert alone.wanted == {"flow": "etl", "state": None, "since": None}
    assert deployed.tokens == [None]


def test_the_file_has_a_line_for_each_run_and_no_formula() -> None:
    runs = [Run.model_validate({**RUN, "message": "=HYPERLINK()\nção", "deployment": None})]
    (line,) = csv.DictReader(io.StringIO(to_csv(runs).decode("utf-8-sig")))

    assert (line["run_id"], line["duration_s"], line["deployment"]) == ("run-1", "8.7", "")
    assert line["occurred_at"] == AT
    assert line["message"] == "'=HYPERLINK()\nção"


@pytest.mark.parametrize(
    ("key", "label"),
    [
        (FlowKey("etl", "etl/etl-daily"), "etl-daily"),
        (FlowKey("etl", "etl/daily"), "etl / daily"),
        (FlowKey("etl", None), "etl"),
    ],
)
def test_a_flow_is_called_by_its_deployment(key: FlowKey, label: str) -> None:
    assert key.label == label


def test_overrides_are_offered_for_every_deployment_and_flow_and_set_ones_come_first() -> None:
    limits = Thresholds.model_validate({"thresholds": [THRESHOLD], **KNOWN})

    assert override_keys(limits.thresholds[0], limits) == [
        "monitoring/monitoring-5min", "medallion-etl/medallion-etl-daily", "adhoc",
    ]  # fmt: skip
    without = Threshold.model_validate({**THRESHOLD, "overrides": None})
    assert override_keys(without, limits) == []


def test_an_override_left_empty_is_none() -> None:
    threshold = Threshold.model_validate(THRESHOLD)

    assert change(threshold, 5.0, {"a": 1.0, "b": None}) == {"value": 5.0, "overrides": {"a": 1.0}}
    assert change(threshold.model_copy(update={"overrides": None}), 5.0, {}) == {"value": 5.0}


def test_a_refusal_without_fields_is_that_of_the_value() -> None:
    assert problems(RefusedError(404, "no such limit", {})) == {"value": "no such limit"}


def test_the_most_severe_alert_comes_first_and_then_the_newest() -> None:
    def alert(episode: str, severity: str, day: int) -> Alert:
        return Alert.model_validate(
            {**ALERT, "episode": episode, "severity": severity, "starts_at": f"2026-03-{day:02}T00:00:00Z"}
        )

    given = [
        alert("old", "warning", 1),
        alert("odd", HOSTILE, 9),
        alert("worst", "critical", 1),
        alert("new", "warning", 2),
    ]

    assert [a.episode for a in most_severe_first(given)] == ["worst", "new", "old", "odd"]


def test_a_topic_shows_the_group_that_is_furthest_behind() -> None:
    def group(name: str, lag: float | None) -> dict[str, object]:
        return {"group": name, "lag": lag}

    read, unread = topic_lines(Topics.model_validate({"topics": [
        {"topic": "lab.z", "records": None, "size_bytes": None, "measured_at": None, "groups": []},
        {"topic": "lab.a", "records": 5, "size_bytes": 900, "measured_at": AT,
         "groups": [group("x", 0), group("y", 7), group("z", None)]},
    ]}))  # fmt: skip

    assert (read.topic, read.size_bytes, read.lag, read.by_group(EN)) == ("lab.a", 900.0, 7.0, "y 7, x 0, z –")
    assert (unread.lag, unread.by_group(EN)) == (None, "–")
