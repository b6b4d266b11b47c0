"""Charts of reports in the lab's colours, for `flows.html_report.svg`. No global state of matplotlib is touched.

matplotlib is imported when the first chart is drawn, so that registering a flow stays quick. Text is never taken for
mathematics: a `$` in a name is a `$`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, LINE = "#1c2430", "#5a6676", "#e3e8ee"
BLUE, GREEN, AMBER, RED, VIOLET, TEAL = "#2563a8", "#16794c", "#d98a1f", "#c62f2f", "#7a4fb5", "#1f8a9d"
SERIES = (BLUE, AMBER, TEAL, VIOLET, GREEN, RED, "#8a6d3b", "#4a5a70")
_WIDTH = 10.0


def bars(values: Mapping[str, float], *, colours: Sequence[str] = (BLUE,), unit: str = "") -> Figure:
    """One horizontal bar for each name, from the top, with its value at the end."""
    figure, axes = _figure(0.55 + 0.42 * max(len(values), 1))
    places = range(len(values))
    drawn = [colours[i % len(colours)] for i in places]
    axes.barh(places, list(values.values()), color=drawn, height=0.62)
    axes.set_yticks(places, [_short(name) for name in values])
    axes.invert_yaxis()
    axes.set_xlim(0, max([*values.values(), 1]) * 1.12)
    for place, value in zip(places, values.values(), strict=True):
        axes.annotate(f"{value:,.6g}{unit}" if value % 1 else f"{value:,.0f}{unit}", (value, place), **_BESIDE)
    axes.grid(visible=False)
    axes.tick_params(axis="x", labelbottom=False)
    return _plain_text(figure)


def lines(x: Sequence[Any], series: Mapping[str, Sequence[float | None]], *, height: float = 3.2) -> Figure:
    """A line for each series over the same x (dates, numbers or names); where it has None it goes on to the next."""
    figure, axes = _figure(height)
    marker = "o" if len(x) <= 40 else ""
    for (name, values), colour in zip(series.items(), _colours(len(series)), strict=True):
        known = [(place, value) for place, value in zip(x, values, strict=True) if value is not None]
        xs, ys = [place for place, _ in known], [value for _, value in known]
        axes.plot(xs, ys, color=colour, linewidth=1.8, marker=marker, markersize=4, label=_short(name))
    _finish(axes, legend=len(series) > 1)
    return _plain_text(figure)


def stacked(x: Sequence[str], series: Mapping[str, Sequence[float]], colours: Sequence[str] = SERIES) -> Figure:
    """One column for each x, its parts on top of each other."""
    figure, axes = _figure(3.2)
    floor = [0.0] * len(x)
    for (name, values), colour in zip(series.items(), colours, strict=False):
        axes.bar(range(len(x)), values, bottom=floor, color=colour, width=min(0.62, 0.12 * len(x)), label=_short(name))
        floor = [low + value for low, value in zip(floor, values, strict=True)]
    axes.set_xticks(range(len(x)), [_short(name) for name in x])
    axes.set_xlim(-0.6, max(len(x), 6) - 0.4)
    _finish(axes, legend=True)
    return _plain_text(figure)


_BESIDE: dict[str, Any] = {
    "xytext": (6, 0),
    "textcoords": "offset points",
    "va": "center",
    "fontsize": 9.5,
    "color": INK,
}


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(length=0, labelsize=9.5, labelcolor=SOFT, pad=6)
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _finish(axes: Axes, *, legend: bool) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.grid(axis="x", visible=False)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _amount(value)))
    if legend:
        axes.legend(frameon=False, fontsize=9.5, labelcolor=INK, ncols=6, loc="lower left", bbox_to_anchor=(0, 1.0))


def _amount(value: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):,.3g} {letter}"
    return f"{value:,.4g}"


def _colours(count: int) -> list[str]:
    return [SERIES[i % len(SERIES)] for i in range(count)]


def _short(name: str) -> str:
    return name if len(name) <= 42 else f"{name[:41]}…"


def _plain_text(figure: Figure) -> Figure:
    """Switch mathematics off in every text. (matplotlib would read `$a$` as a formula, and fail on a broken one.)"""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
    return figure
