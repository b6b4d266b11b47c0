"""Text that others wrote, shown as what it is: neither Markdown nor HTML nor a formula of a spreadsheet. Pure."""

from __future__ import annotations

import re

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_BREAKS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain(text: object) -> str:
    """For a place that reads Markdown: every sign that might mean something is escaped; one line."""
    return _PUNCTUATION.sub(r"\\\1", one_line(text))


def code(text: object) -> str:
    """As inline code, in a fence that the text itself does not hold."""
    line = one_line(text) or " "
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"


def one_line(text: object) -> str:
    """Without line breaks and control characters."""
    return _BREAKS.sub(" ", str(text)).strip()


def cell(value: object) -> str:
    """For a CSV file: what a spreadsheet would take for a formula gets an apostrophe before it."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def link(url: str | None) -> str | None:
    """The address if a browser may be sent there, else None."""
    return url if url and url.startswith(("http://", "https://")) else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
