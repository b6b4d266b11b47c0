"""Runs by period, as charts."""

from __future__ import annotations

import streamlit as st

from services.dashboard.answers.monitor import Histogram
from services.dashboard.look import Look
from services.dashboard.pages.site import Site
from services.dashboard.views.charts import runs_by_flow, runs_over_time

PERIODS = ("hour", "day", "week")


def show(site: Site, look: Look) -> None:
    """Draw the charts of the chosen period."""
    words = site.words
    st.subheader(words("chart.title"))
    period = st.segmented_control(
        words("chart.period"),
        PERIODS,
        format_func=lambda name: words(f"period.{name}"),
        default="day",
        required=True,
        key="period",
        label_visibility="collapsed",
    )
    found = look.ask("monitor", lambda rest: rest.get("/v1/runs/histogram", Histogram, period=period or "day"))
    if found is None:
        return
    if not found.counts:
        st.info(words("chart.none"), icon=":material/info:")
        return
    left, right = st.columns([3, 2])
    with left:
        st.altair_chart(runs_over_time(found, words), width="stretch", alt=words("chart.over_time"))
    with right:
        st.altair_chart(runs_by_flow(found, words), width="stretch", alt=words("chart.by_flow"))
