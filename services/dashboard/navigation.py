"""Which pages there are, in which language, and what stands beside all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

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
_ICON = Path(__file__).with_name("icon.svg")
_PATHS: dict[PageName, str] = {"flows": "prefect-flows", "trace": "event-trace", "lab": "services-and-data"}


def show() -> None:
    """Draw the page that the browser asks for."""
    settings = DashboardSettings()
    # A picture of our own: the browser would fetch one of Streamlit's icons from elsewhere.
    st.set_page_config(page_title="DataFlow Lab", page_icon=_ICON, layout="wide")
    head, beside = st.columns([3, 2], vertical_alignment="bottom")
    with beside, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        prefect = st.container(width="content")
        words = phrases(_language(settings), settings.zone)
        prefect.link_button(words("head.prefect"), settings.prefect_pages, icon=":material/open_in_new:")
    site = Site(settings, words)
    for name, (icon, draw) in _PAGES.items():
        site.pages[name] = st.Page(
            partial(draw, site),
            title=words(f"page.{name}"),
            icon=icon,
            url_path=_PATHS[name],
            default=name == "flows",
        )
    page = st.navigation(list(site.pages.values()), position="top")
    with head:
        _head(words, next(name for name, known in site.pages.items() if known == page))
    page.run()


def _language(settings: DashboardSettings) -> Language:
    chosen = st.segmented_control(
        "Language · Idioma",
        LANGUAGES,
        format_func=str.upper,  # which is also what the address of the page says
        default=settings.dashboard_language,
        required=True,
        key="lang",
        bind="query-params",
        label_visibility="collapsed",
    )
    return chosen or settings.dashboard_language


def _head(words: Phrases, page: PageName) -> None:
    st.title(words(f"page.{page}"), anchor=False)
    st.caption(words(f"page.{page}.about"))
