"""Rows as a table of plain text, for a terminal and for `grep`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line of headings, then a line a row; all rows have the keys of the first. "none" where there is no row."""
    if not rows:
        return "none\n"
    cells = [[str("" if row.get(key) is None else row[key]) for key in rows[0]] for row in rows]
    widths = [max(len(line[i]) for line in [list(rows[0]), *cells]) for i in range(len(rows[0]))]
    lines = [[key.upper() for key in rows[0]], *cells]
    return "".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )
