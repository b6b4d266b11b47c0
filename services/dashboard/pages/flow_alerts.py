"""The alerts that are open, the most severe first, each with where to look."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from services.dashboard.answers.monitor import Alert, Alerts
from services.dashboard.look import Look
from services.dashboard.pages.site import Site
from services.dashboard.safe import link, plain
from services.dashboard.views.alerts import most_severe_first
from services.dashboard.views.tones import Tone, tone

_SHOWN = 50
_Color = Literal["red", "orange", "blue", "green", "gray"]
_BADGES: dict[Tone, _Color] = {"bad": "red", "warn": "orange", "busy": "blue", "good": "green", "plain": "gray"}


def show(site: Site, look: Look) -> None:
    """Draw them. What the alerts say comes from events, and is shown as text."""
    found = look.ask("monitor", lambda rest: rest.get("/v1/alerts", Alerts, status="firing", page_size=_SHOWN))
    if found is None:
        return
    open_now = found.counts.get("firing", 0)
    st.subheader(site.words("alerts.title", count=open_now))
    if not found.alerts:
        st.success(site.words("alerts.none"), icon=":material/check_circle:")
    for alert in most_severe_first(found.alerts):
        _card(site, alert)
    if open_now > len(found.alerts):
        st.caption(site.words("alerts.more", count=open_now - len(found.alerts)))


def _card(site: Site, alert: Alert) -> None:
    words = site.words
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.badge(plain(words.name("severity", alert.severity)), color=_BADGES[tone(alert.severity)])
        with st.container(width="stretch", gap=None):
            st.text(alert.summary)
            since = words("alerts.since", at=words.time(alert.starts_at), ago=words.ago(alert.starts_at, site.now()))
            st.caption(f"{plain(alert.rule)} · {since}")
        if run_url := link(alert.annotations.get("run_url")):
            st.link_button(words("alerts.run"), run_url, icon=":material/open_in_new:", type="tertiary")
        if event_id := alert.annotations.get("event_id"):
            st.page_link(
                site.pages["trace"],
                label=words("alerts.trace"),
                icon=":material/timeline:",
                query_params={"event": event_id, "lang": words.in_address},
            )
