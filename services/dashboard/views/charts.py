"""Charts as Altair's specifications, drawn by what Streamlit brings along: no address is called. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from services.dashboard.answers.monitor import Histogram
from services.dashboard.language import Phrases
from services.dashboard.views.flow_names import FlowKey
from services.dashboard.views.steps import Step

if TYPE_CHECKING:
    import altair as alt

_HOUR_S = 3600
_STATE_COLOURS = {"COMPLETED": "#22c55e", "FAILED": "#ef4444", "CRASHED": "#a21caf", "CANCELLED": "#94a3b8"}
_KIND_COLOURS = {"event": "#3b82f6", "alert": "#ef4444", "run": "#8b5cf6", "delivery": "#22c55e"}


def bucket_rows(histogram: Histogram, phrases: Phrases) -> list[dict[str, Any]]:
    """One row for each bucket, flow and final state; `from` and `to` bound the bar."""
    width = timedelta(seconds=histogram.bucket_s)
    return [
        {
            "from": _wall_clock(max(bucket.start, histogram.since), phrases).isoformat(),
            "to": _wall_clock(min(bucket.start + width, histogram.until), phrases).isoformat(),
            "flow": FlowKey(bucket.flow, bucket.deployment).label,
            "state": phrases.name("state", bucket.state_type),
            "runs": bucket.runs,
        }
        for bucket in histogram.counts
    ]


def runs_over_time(histogram: Histogram, phrases: Phrases) -> alt.Chart:
    """Ended runs by bucket of time, stacked by final state, over the whole period."""
    import altair as alt

    rows = _stacked(_summed(bucket_rows(histogram, phrases), ("from", "to", "state")), phrases)
    period = alt.Scale(domain=[_instant(at, phrases, alt) for at in (histogram.since, histogram.until)])
    days = histogram.bucket_s > _HOUR_S
    ticks = alt.Axis(tickCount=8, labelOverlap=True, format="%d/%m" if days else "%H:%M")
    chart: alt.Chart = (
        _chart(rows, alt)
        .mark_rect()
        .encode(
            x=alt.X("from:T", title=None, scale=period, axis=ticks),
            x2="to:T",
            y=alt.Y("low:Q", title=phrases("chart.runs"), axis=alt.Axis(tickMinStep=1, format="d")),
            y2="high:Q",
            color=_states(phrases, alt),
            tooltip=[
                alt.Tooltip("from:T", title=phrases("chart.from"), format="%d/%m %H:%M"),
                alt.Tooltip("to:T", title=phrases("chart.to"), format="%d/%m %H:%M"),
                alt.Tooltip("state:N", title=phrases("chart.state")),
                alt.Tooltip("runs:Q", title=phrases("chart.runs")),
            ],
        )
        .properties(height=260)
    )
    return chart


def runs_by_flow(histogram: Histogram, phrases: Phrases) -> alt.Chart:
    """Ended runs of the period by flow, stacked by final state, the busiest flow first."""
    import altair as alt

    rows = _summed(bucket_rows(histogram, phrases), ("flow", "state"))
    chart: alt.Chart = (
        _chart(rows, alt)
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            y=alt.Y("flow:N", title=None, sort="-x", axis=alt.Axis(labelLimit=220)),
            x=alt.X("runs:Q", title=phrases("chart.runs"), axis=alt.Axis(tickMinStep=1, format="d")),
            color=_states(phrases, alt),
            order=alt.Order("state:N"),
            tooltip=[
                alt.Tooltip("flow:N", title=phrases("chart.flow")),
                alt.Tooltip("state:N", title=phrases("chart.state")),
                alt.Tooltip("runs:Q", title=phrases("chart.runs")),
            ],
        )
        .properties(height=260)
    )
    return chart


def timeline(steps: Sequence[Step], phrases: Phrases) -> alt.LayerChart | alt.FacetChart:
    """Each step on a line of its own from top to bottom: a run as a bar, anything else as a point."""
    import altair as alt

    rows = [_step_row(number, step, phrases) for number, step in enumerate(steps)]
    colour = alt.Color(
        "kind:N",
        title=None,
        scale=alt.Scale(domain=_labels(_KIND_COLOURS, "kind", phrases), range=list(_KIND_COLOURS.values())),
        legend=alt.Legend(orient="top"),
    )
    base = _chart(rows, alt).encode(
        y=alt.Y("line:O", axis=None, sort=None),
        color=colour,
        tooltip=[
            alt.Tooltip("what:N", title=phrases("trace.step")),
            alt.Tooltip("says:N", title=phrases("trace.says")),
            alt.Tooltip("start:Q", title=phrases("trace.after"), format=".2f"),
        ],
    )
    seconds = alt.X("start:Q", title=phrases("trace.seconds"), axis=alt.Axis(orient="bottom"))
    bars = base.mark_bar(height=8, cornerRadius=4).encode(x=seconds, x2="end:Q")
    points = base.mark_circle(size=80, opacity=1).encode(x=seconds)
    height = max(120, min(14 * len(rows) + 60, 420))
    chart: alt.LayerChart | alt.FacetChart = alt.layer(bars, points).properties(height=height)
    return chart


def _step_row(number: int, step: Step, phrases: Phrases) -> dict[str, Any]:
    length = (step.until - step.at).total_seconds() if step.until else 0.0
    return {
        "line": number,
        "what": step.what,
        "says": step.says,
        "kind": phrases(f"kind.{step.kind}"),
        "start": round(step.after_s, 3),
        "end": round(step.after_s + max(length, 0.0), 3),
    }


def _chart(rows: Sequence[Mapping[str, Any]], alt: Any) -> Any:
    return alt.Chart(alt.Data(values=list(rows)))


def _summed(rows: Sequence[Mapping[str, Any]], by: Sequence[str]) -> list[dict[str, Any]]:
    sums: dict[tuple[Any, ...], int] = {}
    for row in rows:
        key = tuple(row[name] for name in by)
        sums[key] = sums.get(key, 0) + row["runs"]
    return [{**dict(zip(by, key, strict=True)), "runs": runs} for key, runs in sums.items()]


def _stacked(rows: Sequence[Mapping[str, Any]], phrases: Phrases) -> list[dict[str, Any]]:
    """Each row with where its block begins and ends, above those of its bucket that come before it."""
    order = _labels(_STATE_COLOURS, "state", phrases)
    heights: dict[str, int] = {}
    stacked = []
    for row in sorted(rows, key=lambda row: (row["from"], order.index(row["state"]) if row["state"] in order else -1)):
        low = heights.get(row["from"], 0)
        heights[row["from"]] = low + row["runs"]
        stacked.append({**row, "low": low, "high": low + row["runs"]})
    return stacked


def _states(phrases: Phrases, alt: Any) -> Any:
    return alt.Color(
        "state:N",
        title=None,
        scale=alt.Scale(domain=_labels(_STATE_COLOURS, "state", phrases), range=list(_STATE_COLOURS.values())),
        legend=alt.Legend(orient="top"),
    )


def _labels(colours: Mapping[str, str], prefix: str, phrases: Phrases) -> list[str]:
    return [phrases.name(prefix, value) for value in colours]


def _wall_clock(at: datetime, phrases: Phrases) -> datetime:
    """Without a zone, which a browser takes for its own: so it shows the dashboard's."""
    return at.astimezone(phrases.zone).replace(tzinfo=None, microsecond=0)


def _instant(at: datetime, phrases: Phrases, alt: Any) -> Any:
    clock = _wall_clock(at, phrases)
    return alt.DateTime(
        year=clock.year,
        month=clock.month,
        date=clock.day,
        hours=clock.hour,
        minutes=clock.minute,
        seconds=clock.second,
    )
