"""The figures of the flow page, as the page shows them and as the monitor answers them; traces as trees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Page

from tests.e2e.conftest import Lab
from tests.e2e.pages import cells, metric
from tests.e2e.runs import get


def summary(lab: Lab) -> dict[str, Any]:
    return dict(get(f"{lab.addresses.monitor}/v1/summary"))


def totals(page: Page) -> list[str]:
    """The figures at the top of the page."""
    labels = ("Running now", "Runs, last hour", "Runs, last 24 h", "Runs, 7 days", "Success, 7 days", "Active alerts")
    return [metric(page, label) for label in labels]


def totals_answered(lab: Lab) -> list[str]:
    """The same, as the monitor answers."""
    known = summary(lab)
    counts = [known["running_now"], *(known["runs"][name] for name in ("hour", "day", "week"))]
    rate = known["success_rate"]
    return [*map(str, counts), "–" if rate is None else percent(rate), str(sum(known["alerts"]["open"].values()))]


def flows_shown(page: Page) -> list[list[Any]]:
    """Name, running, runs per hour, day and week, success rate of each flow. Screen readers hear plain numbers."""
    return [[row[0], *(float(cell) if cell else None for cell in row[4:9])] for row in cells(page, 0)]


def flows_answered(lab: Lab) -> list[list[Any]]:
    """The same, as the monitor answers."""
    wanted = ("running_now", "runs_hour", "runs_day", "runs_week", "success_rate")
    return [
        [(flow["deployment"] or flow["flow"]).rpartition("/")[2], *(flow[name] for name in wanted)]
        for flow in get(f"{lab.addresses.monitor}/v1/flows")["flows"]
    ]


def percent(share: float) -> str:
    """As the pages write it."""
    return f"{share * 100:.0f} %" if share in (0, 1) else f"{min(share * 100, 99.9):.1f} %"


def nodes(trace: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every node of a tree."""
    for node in trace:
        yield node
        yield from nodes(node["children"])


def kind_of(node: dict[str, Any]) -> str:
    return "alert" if str(node.get("type", "")).startswith("lab.alert.") else str(node["kind"])
