"""How all flows are doing now: the totals, and a line for each flow."""

from __future__ import annotations

from operator import attrgetter

import streamlit as st

from services.dashboard.answers.monitor import Flow, Flows, Summary
from services.dashboard.language import NOTHING
from services.dashboard.look import Look
from services.dashboard.pages.site import Site
from services.dashboard.pages.tables import Column, numbers, table
from services.dashboard.views.flow_names import FlowKey
from services.dashboard.views.tones import tone


def show(site: Site, look: Look) -> None:
    """Draw both, as far as the monitor answers."""
    summary = look.ask("monitor", lambda rest: rest.get("/v1/summary", Summary))
    flows = look.ask("monitor", lambda rest: rest.get("/v1/flows", Flows))
    if summary is not None:
        _totals(site, summary)
    if flows is not None:
        st.subheader(site.words("flows.title"))
        table(flows.flows, columns(site), key="flows", nothing=site.words("flows.none"))
        st.caption(_window(site))


def _window(site: Site) -> str:
    words, settings = site.words, site.settings
    seconds = words.number(settings.dashboard_refresh_s)
    return words("flows.window", at=words.time(site.now()), zone=settings.dashboard_timezone, seconds=seconds)


def _totals(site: Site, summary: Summary) -> None:
    words = site.words
    degraded, known = summary.services.get("degraded", 0), sum(summary.services.values())
    shown = {
        "running": (words.number(summary.running_now), None),
        "hour": (words.number(summary.runs.hour), None),
        "day": (words.number(summary.runs.day), None),
        "week": (words.number(summary.runs.week), None),
        "success": (words.percent(summary.success_rate), None),
        "alerts": (
            words.number(sum(summary.alerts.open.values())),
            words("total.fired", count=summary.alerts.fired.day),
        ),
        "services": (
            words("total.of", count=summary.services.get("ok", 0), all=known) if known else NOTHING,
            words("total.degraded", count=degraded) if degraded else None,
        ),
    }
    for place, (name, (value, note)) in zip(st.columns(len(shown)), shown.items(), strict=True):
        with place:
            st.metric(
                words(f"total.{name}"),
                value,
                delta=note,
                delta_color="off",
                delta_arrow="off",
                border=True,
                height="stretch",
            )


def columns(site: Site) -> list[Column[Flow]]:
    """Of the table of flows. Counts and rates come with the window they are of, which the caption says."""
    words, now = site.words, site.now()
    return [
        Column(words("flows.flow"), lambda f: FlowKey(f.flow, f.deployment).label, width=175),
        Column(
            words("flows.state"),
            lambda f: f"● {words.state(f.last_state, f.last_state_type)}",
            tone=lambda f: tone(f.last_state_type),
            width=110,
        ),
        Column(words("flows.run"), lambda f: site.run_page(f.last_run_id), link_text=words("open"), width=62),
        Column(words("flows.since"), lambda f: words.ago(f.last_state_at, now), width=100),
        Column(words("flows.running"), attrgetter("running_now"), words.number, width=62),
        Column(words("flows.hour"), attrgetter("runs_hour"), words.number, width=45),
        Column(words("flows.day"), attrgetter("runs_day"), words.number, width=45),
        Column(words("flows.week"), attrgetter("runs_week"), words.number, width=45),
        Column(words("flows.success"), attrgetter("success_rate"), numbers(words.percent), width=68),
        *(
            Column(words(f"flows.{name}"), attrgetter(f"duration.{name}_s"), numbers(words.span), width=80)
            for name in ("mean", "p50", "p90", "p95", "p99")
        ),
        Column(words("flows.cpu"), attrgetter("cpu.mean_s"), numbers(words.span), width=62),
        Column(words("flows.memory"), attrgetter("memory_peak.mean_bytes"), numbers(words.size), width=68),
    ]
