"""Tables: each column says how its value is found, written and coloured. Cells are text, never Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import streamlit as st

from services.dashboard.language import NOTHING
from services.dashboard.views.tones import Tone

Row = TypeVar("Row")
# Rows beyond these are scrolled to.
_SHOWN, _ROW_PX = 40, 35
# Dark enough on white, and not by colour alone: the text says the same.
COLOURS: dict[Tone, str] = {
    "good": "#15803d",
    "bad": "#b91c1c",
    "busy": "#1d4ed8",
    "warn": "#b45309",
}


@dataclass(frozen=True)
class Column(Generic[Row]):
    """`value` sorts, `form` is what is shown of it. A column with `link_text` holds addresses."""

    label: str
    value: Callable[[Row], Any]
    form: Callable[[Any], str] | None = None
    tone: Callable[[Row], Tone] | None = None
    link_text: str | None = None
    help: str | None = None
    width: Literal["small", "medium", "large"] | int | None = None


def table(rows: Sequence[Row], columns: Sequence[Column[Row]], *, key: str, nothing: str) -> None:
    """Show the rows, or the sentence if there are none."""
    if not rows:
        st.info(nothing, icon=":material/info:")
        return
    import pandas as pd

    frame = pd.DataFrame({column.label: [column.value(row) for row in rows] for column in columns})
    styler = frame.style.format({c.label: c.form for c in columns if c.form}, na_rep=NOTHING)
    for column in columns:
        if column.tone:
            colours = [_css(column.tone(row)) for row in rows]
            styler = styler.apply(lambda _, colours=colours: colours, subset=[column.label])
    st.dataframe(
        styler,
        hide_index=True,
        column_config={c.label: _config(c) for c in columns},
        key=key,
        placeholder=NOTHING,
        height="content" if len(rows) <= _SHOWN else _SHOWN * _ROW_PX,
    )


def _css(tone: Tone) -> str:
    return f"color: {COLOURS[tone]}; font-weight: 600" if tone in COLOURS else ""


def _config(column: Column[Any]) -> Any:
    if column.link_text:
        return st.column_config.LinkColumn(column.label, display_text=column.link_text, width=column.width)
    return st.column_config.Column(column.label, help=column.help, width=column.width)


def numbers(form: Callable[[float | None], str]) -> Callable[[Any], str]:
    """A form for a column of numbers: there, pandas turns what is missing into NaN."""
    return lambda value: form(None if value is None or math.isnan(value) else float(value))
