"""The page "Prefect Flows": the status of all flows as it is now, their history, and the limits of the alerts."""

from __future__ import annotations

from functools import partial

import streamlit as st

from services.dashboard.pages import flow_alerts, flow_charts, flow_history, flow_limits, flow_status
from services.dashboard.pages.site import Site, show_away


def show(site: Site) -> None:
    """Draw the page. What is watched draws itself anew by itself; what is filled in is left alone meanwhile."""
    status, history, limits = st.tabs([site.words(f"tab.{name}") for name in ("status", "history", "limits")])
    with status:
        st.fragment(partial(_watched, site), run_every=site.settings.dashboard_refresh_s)()
    with history:
        st.fragment(partial(flow_history.show, site))()
    with limits:
        st.fragment(partial(flow_limits.show, site))()


def _watched(site: Site) -> None:
    look, who_is_away = site.look(), st.container()
    flow_status.show(site, look)
    flow_alerts.show(site, look)
    flow_charts.show(site, look)
    with who_is_away:
        show_away(site, look)
