"""The parts of a condition that are joined by `&&`, and what a part compares. Text only; CEL itself evaluates.

A condition with one part that is false is false, whatever the others are: CEL lets no failure stand against that.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# A text literal of any kind, a comment, or one character.
_PIECE = re.compile(
    r"""(?:[rR]?(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))"""
    r"""|//[^\n]*|&&|\|\||.""",
    re.DOTALL,
)
_FIELD = r"event(?:\.[A-Za-z_]\w*)+"
_TEXT = r"""'[^'\\\n]*'|"[^"\\\n]*\""""
_EQUALS = re.compile(rf"({_FIELD})\s*==\s*({_TEXT})")
_EQUALS_TURNED = re.compile(rf"({_TEXT})\s*==\s*({_FIELD})")
_AMONG = re.compile(rf"({_FIELD})\s+in\s+\[\s*((?:{_TEXT})(?:\s*,\s*(?:{_TEXT}))*)\s*\]")
_DEEPER, _BACK = frozenset("([{"), frozenset(")]}")


class Equality(NamedTuple):
    """A field of the event, by its path from the event, and the texts of which it must be one."""

    path: tuple[str, ...]
    texts: frozenset[str]


def conjuncts(source: str) -> list[str]:
    """The parts, as they are written, in order; the whole as its only part where nothing joins it by `&&` alone."""
    source = _bare(source.strip())
    parts, part, depth = [], "", 0
    for symbol in _PIECE.findall(source):
        depth += (symbol in _DEEPER) - (symbol in _BACK)
        if depth == 0 and symbol in ("||", "?"):  # binds weaker than `&&`
            return [source]
        if depth == 0 and symbol == "&&":
            parts.append(part)
            part = ""
        else:
            part += symbol
    return [inner for found in (*parts, part) for inner in (conjuncts(found) if parts else [found.strip()])]


def equality(conjunct: str) -> Equality | None:
    """What the part demands of one field, if it is a plain comparison with texts."""
    if match := _EQUALS.fullmatch(conjunct):
        return _equality(match[1], [match[2]])
    if match := _EQUALS_TURNED.fullmatch(conjunct):
        return _equality(match[2], [match[1]])
    if match := _AMONG.fullmatch(conjunct):
        return _equality(match[1], re.findall(_TEXT, match[2]))
    return None


def fields(source: str) -> list[str]:
    """The fields of the event that the text names, each once, in order; texts in quotes are passed over."""
    bare = "".join(
        " " if symbol[-1:] in "'\"" or symbol.startswith("//") else symbol for symbol in _PIECE.findall(source)
    )
    # A method's name follows the field that it is called on.
    named = re.findall(rf"(?<![\w.])({_FIELD})(\s*\()?", bare)
    return list(dict.fromkeys(field.rpartition(".")[0] if call else field for field, call in named))


def _equality(field: str, texts: list[str]) -> Equality:
    return Equality(tuple(field.split(".")[1:]), frozenset(text[1:-1] for text in texts))


def _bare(source: str) -> str:
    """Without parentheses around the whole."""
    while source.startswith("(") and source.endswith(")"):
        depth = 0
        symbols = _PIECE.findall(source)
        for index, symbol in enumerate(symbols):
            depth += (symbol in _DEEPER) - (symbol in _BACK)
            if depth == 0 and index < len(symbols) - 1:
                return source
        source = source[1:-1].strip()
    return source
