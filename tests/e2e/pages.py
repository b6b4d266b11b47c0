"""What a page of the dashboard shows: figures, tables, charts, and pictures of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect


def metric(page: Page, label: str) -> str:
    """The figure under this label."""
    found = page.get_by_test_id("stMetric").filter(has=page.get_by_text(label, exact=True))
    return found.get_by_test_id("stMetricValue").inner_text()


def cells(page: Page, number: int) -> list[list[str]]:
    """What the cells of a table of the page say, as a screen reader is told it: the drawing itself has no text."""
    grid = page.get_by_test_id("stDataFrame").nth(number)
    grid.locator("[role=gridcell]").first.wait_for(state="attached")
    return grid.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.querySelectorAll('[role=gridcell]')].map(cell => cell.textContent))"
    )


def see_charts(page: Page, count: int) -> None:
    """Wait until so many charts are drawn."""
    drawn = page.get_by_test_id("stVegaLiteChart").locator("canvas, svg.marks")
    expect(drawn).to_have_count(count)
    for number in range(count):
        expect(drawn.nth(number)).to_be_visible()


def choose(page: Page, label: str, option: str) -> None:
    """Choose from a list."""
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option, exact=True).click()


def take(page: Page, path: Path) -> None:
    """A picture of all of the page that there is, however long it is, without what a resting mouse brings up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page.mouse.move(2, 2)
    height = page.get_by_test_id("stMainBlockContainer").evaluate("block => Math.ceil(block.scrollHeight)")
    page.set_viewport_size({"width": 1440, "height": max(600, min(height + 60, 1800))})
    for unfinished in ("stStatusWidget", "stSkeleton"):
        expect(page.get_by_test_id(unfinished)).to_have_count(0)
    page.screenshot(path=path, animations="disabled")
    assert 10_000 < path.stat().st_size < 300_000


def agree(shown: Callable[[], Any], answered: Callable[[], Any], within_s: float = 30) -> None:
    """Wait until the page and the REST say the same: between the two looks the lab may have gone on."""
    deadline = time.monotonic() + within_s
    while (on_page := shown()) != (by_rest := answered()):
        assert time.monotonic() < deadline, f"the page shows {on_page!r}, the REST says {by_rest!r}"
        time.sleep(0.2)  # looking again, with a deadline
