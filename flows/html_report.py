"""The layout of the lab's HTML reports: one self-contained file, no script, nothing from the network, all text escaped.

    save(path, page("Title", [Section("Rows", table(("layer", "rows"), rows), svg(figure, label="…"))]))

It knows nothing of what is reported; charts in the lab's colours are made by `flows.charts`.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from warnings import catch_warnings, filterwarnings

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from jinja2 import Template
    from matplotlib.figure import Figure

Tone = Literal["good", "warn", "bad", "plain"]

# matplotlib's own names of groups repeat in each figure, and nothing refers to them.
_GROUP_IDS = re.compile(r'<g id="[^"]*"')


class Section:
    """A part of the page: a title and what is below it, each a result of a function of this module or plain text."""

    def __init__(self, title: str, *blocks: Markup | str, note: str = "") -> None:
        self.title, self.note = title, note
        self.blocks = [block if isinstance(block, Markup) else paragraph(block) for block in blocks]


def page(
    title: str,
    sections: Sequence[Section],
    *,
    kind: str = "DataFlow Lab",
    verdict: tuple[Tone, str] | None = None,
    lead: str = "",
    facts: Mapping[str, object] | None = None,
) -> str:
    """The whole document. `verdict` is a coloured word beside the title, `facts` are names and values below it."""
    values = {name: _cell(value)[0] for name, value in (facts or {}).items()}
    return _template().render(title=title, sections=sections, kind=kind, verdict=verdict, lead=lead, facts=values)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "none") -> Markup:
    """A table. Numbers stand right with their thousands separated, None is a dash, Markup is taken as it is."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        return paragraph(empty)
    shape = Markup('<div class="scroll"><table><thead>{}</thead><tbody>{}</tbody></table></div>')
    head = _row("th", ((escape(name), is_number) for name, (_, is_number) in zip(columns, cells[0], strict=True)))
    return shape.format(head, Markup("\n").join(_row("td", row) for row in cells))


def cards(figures: Iterable[tuple[str, object, Tone]]) -> Markup:
    """A row of large figures: what it is, the value, and how to look at it."""
    card = Markup('<div class="card {}"><div class="value">{}</div><div class="what">{}</div></div>')
    made = (card.format(tone, _cell(value)[0], what) for what, value, tone in figures)
    return Markup('<div class="cards">{}</div>').format(Markup().join(made))


def badge(text: str, tone: Tone) -> Markup:
    """A coloured word, for a cell of a table."""
    return Markup('<span class="badge {}">{}</span>').format(tone, text)


def code(text: str) -> Markup:
    """Text as it was typed: a path, an expression, a record."""
    return Markup("<code>{}</code>").format(text)


def paragraph(text: str | Markup) -> Markup:
    return Markup("<p>{}</p>").format(text)


def svg(figure: Figure, *, label: str) -> Markup:
    """The figure inline; the same figure gives the same text. `label` is what a screen reader says of it."""
    from matplotlib import rc_context

    drawn = io.StringIO()
    # Text stays text (it can be selected and costs little); no date and fixed ids keep reports comparable.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": label, "text.parse_math": False}), catch_warnings():
        filterwarnings("ignore", message="Glyph .* missing")  # the browser has the fonts that count
        figure.savefig(drawn, format="svg", metadata={"Date": None}, transparent=True)
    inline = _GROUP_IDS.sub("<g", drawn.getvalue()[drawn.getvalue().index("<svg") :])
    return Markup('<figure role="img" aria-label="{}">{}</figure>').format(label, Markup(inline))  # noqa: S704 - matplotlib escapes what it draws


def save(path: Path, document: str) -> Path:
    """Write the report whole or not at all; an older one of that name gives way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(document)
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    return path


def _row(tag: Literal["th", "td"], cells: Iterable[tuple[Markup, bool]]) -> Markup:
    cell = Markup('<{0} class="{1}">{2}</{0}>')
    return Markup("<tr>{}</tr>").format(
        Markup().join(cell.format(tag, "number" if is_number else "text", shown) for shown, is_number in cells)
    )


def _cell(value: object) -> tuple[Markup, bool]:
    if value is None:
        return Markup('<span class="absent">–</span>'), False
    if isinstance(value, bool):
        return escape("yes" if value else "no"), False
    if isinstance(value, int):
        return escape(f"{value:,}"), True
    if isinstance(value, float):
        return escape(f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"), True
    return escape(value), False


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    options: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "undefined": StrictUndefined}
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, **options)
    return environment.get_template("html_report.html.j2")
