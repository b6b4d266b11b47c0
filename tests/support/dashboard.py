"""Pages of the dashboard, run by Streamlit's own test runner: what a browser would be sent, without a browser."""

from __future__ import annotations

from typing import Any

from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df
from streamlit.testing.v1 import AppTest

from services.dashboard.app import SCRIPT


def open_page(path: str = "", **query: str) -> AppTest:
    """The page under this path (the first one without), drawn once. A page that raises fails here."""
    page = AppTest.from_file(str(SCRIPT), default_timeout=120)
    for name, value in query.items():
        page.query_params[name] = value
    if path:
        page.run()
        # `switch_page` knows pages that are files; ours are functions.
        page._page_hash = next(
            hash_ for hash_, info in page._registered_pages.items() if info.get("url_pathname") == path
        )
    return drawn(page.run())


def drawn(page: AppTest) -> AppTest:
    """The page itself, once it is clear that nothing was raised while it was drawn."""
    assert not page.exception, [error.message for error in page.exception]
    return page


def metrics(page: AppTest) -> dict[str, str]:
    """The figures of the page by their label."""
    return {metric.label: metric.value for metric in page.metric}


def tables(page: AppTest) -> list[list[dict[str, Any]]]:
    """Every table of the page as rows, with the values that cells sort by."""
    return [table.value.to_dict("records") for table in page.dataframe]


def charts(page: AppTest) -> list[list[dict[str, Any]]]:
    """The rows that each chart of the page is drawn from."""
    found = page.get("vega_lite_chart")
    return [convert_arrow_bytes_to_pandas_df(chart.proto.data.data).to_dict("records") for chart in found]
