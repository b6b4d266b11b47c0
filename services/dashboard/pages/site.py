"""What every page is given, and how all of them show the time, tables and who is away."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode, urlsplit

import streamlit as st

from services.dashboard.language import Phrases
from services.dashboard.look import Look
from services.dashboard.safe import code
from services.dashboard.settings import DashboardSettings

if TYPE_CHECKING:
    from streamlit.navigation.page import Page

PageName = Literal["flows", "trace", "lab"]


@dataclass(frozen=True)
class Site:
    """The settings, the words in the language of the browser, and the pages, for links between them."""

    settings: DashboardSettings
    words: Phrases
    pages: dict[PageName, Page] = field(default_factory=dict)

    def look(self) -> Look:
        """A new look at the lab."""
        return Look(self.settings)

    def now(self) -> datetime:
        """The time that ages are counted to."""
        return datetime.now(UTC)

    def run_page(self, run_id: str) -> str:
        """Where Prefect shows a run."""
        return f"{self.settings.prefect_pages}/runs/flow-run/{run_id}"

    def trace_page(self, event_id: str) -> str:
        """Where the trace of an event is, for a cell of a table, which takes only whole addresses."""
        query = urlencode({"event": event_id, "lang": self.words.in_address})
        return f"{_origin()}/{self.pages['trace'].url_path}?{query}"


def _origin() -> str:
    """The address that the browser has the dashboard at."""
    parts = urlsplit(st.context.url or "")
    return f"{parts.scheme}://{parts.netloc}"


def show_away(site: Site, look: Look) -> None:
    """Say which services gave no answer. The rest of the page is shown as it is."""
    for service, reason in look.away.items():
        st.warning(site.words("away", service=code(service), reason=code(reason)), icon=":material/cloud_off:")
