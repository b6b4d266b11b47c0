"""Which pages there are, in which language, and what stands beside all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from services.dashboard.language import LANGUAGES, Phrases, phrases
from services.dashboard.pages import flows, lab, trace
from services.dashboard.pages.site import PageName, Site
from services.dashboard.settings import DashboardSettings, Language

_PAGES: dict[PageName, tuple[str, Callable[[Site], None]]] = {
    "flows": (":material/account_tree:", flows.show),
    "trace": (":material/timeline:", trace.show),
    "lab": (":material/dns:", lab.show),
}
_PATHS: dict[PageName, str] = {"flows": "prefect-flows", "trace": "event-trace", "lab": "services-and-data"}


def show() -> None:
    """Draw the page that the browser asks for."""
    settings = DashboardSettings()
    st.set_page_config(page_title="DataFlow Lab", page_icon=":material/account_tree:", layout="wide")
    chosen = _chosen(settings)
    words = phrases(chosen, settings.zone)
    site = Site(settings, words)
    for name, (icon, draw) in _PAGES.items():
        site.pages[name] = st.Page(
            partial(draw, site),
            title=words(f"page.{name}"),
            icon=icon,
            url_path=_PATHS[name],
            default=name == "flows",
        )
    page = st.navigation(list(site.pages.values()))
    with st.sidebar:
        _beside(settings, words)
    page.run()


def _chosen(settings: DashboardSettings) -> Language:
    with st.sidebar:
        chosen = st.segmented_control(
            "Language · Idioma",
            LANGUAGES,
            format_func=str.upper,  # which is also what the address of the page says
            default=settings.dashboard_language,
            required=True,
            key="lang",
            bind="query-params",
        )
    return chosen or settings.dashboard_language


def _beside(settings: DashboardSettings, words: Phrases) -> None:
    st.link_button(words("side.prefect"), settings.prefect_pages, icon=":material/open_in_new:")
    st.caption(
        words("side.about", seconds=words.number(settings.dashboard_refresh_s), zone=settings.dashboard_timezone)
    )
