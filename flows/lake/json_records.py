"""The records of a JSON file one by one: of a list of objects, of one object, or of JSON Lines. No Spark, no dataset.

A list is read a piece at a time, so that memory follows the largest record and not the file. What is no object, or no
JSON at all, is still a record, with its fault; only where nothing can be told apart is the file refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from flows.lake.errors import SourceError

_CHUNK = 1 << 20
_BLANK = " \t\r\n"


class Number(str):
    """A number by its digits: as a float it might become another one."""

    __slots__ = ()


class Object(list[tuple[str, Any]]):
    """The fields of an object in order; a name that is given twice is there twice."""

    __slots__ = ()


@dataclass(frozen=True)
class Record:
    """One record by its place in the file, from 1. `value` is what was decoded, or None with the reason in `fault`."""

    number: int
    raw: str
    value: Any = None
    fault: str | None = None


_DECODER = json.JSONDecoder(object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=Number)


def records(path: Path, *, lines: bool) -> Iterator[Record]:
    """Every record; `lines` for a file that says it is JSON Lines. Raises SourceError for what is not JSON."""
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        first = _first_character(file)
        if first == "[" and not lines:
            yield from _of_list(file)
        elif lines or not first or _is_lines(file):
            yield from _of_lines(file)
        else:
            text = file.read().strip(_BLANK)
            yield Record(1, text, _whole(text))


def _first_character(file: TextIO) -> str:
    """The first character that is not blank, empty if there is none; the file is at its start afterwards."""
    while (character := file.read(1)) and character in _BLANK:
        pass
    file.seek(0)
    return character


def _is_lines(file: TextIO) -> bool:
    """Whether text that starts with no list is JSON Lines: its first line is complete, or some line is an object while
    the whole is no JSON. The file is at its start afterwards."""
    try:
        first = next(line for line in file if line.strip(_BLANK))
        file.seek(0)
        if _decoded(1, first).fault is None:
            return True
        try:
            _whole(file.read().strip(_BLANK))
        except SourceError:
            file.seek(0)
            if any(isinstance(record.value, Object) for record in _of_lines(file)):
                return True
            raise
        return False
    finally:
        file.seek(0)


def _whole(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise SourceError(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise SourceError("is nested too deeply") from error


def _of_lines(file: TextIO) -> Iterator[Record]:
    number = 0
    for line in file:
        if text := line.strip(_BLANK):
            number += 1
            yield _decoded(number, text)


def _decoded(number: int, text: str) -> Record:
    try:
        return Record(number, text, _DECODER.decode(text.strip(_BLANK)))
    except json.JSONDecodeError as error:
        return Record(number, text, fault=f"not JSON: {error.msg} at column {error.colno}")
    except RecursionError:
        return Record(number, text, fault="nested too deeply")


def _of_list(file: TextIO) -> Iterator[Record]:
    """The elements of a list. Raises SourceError at the place where it stops being one."""
    window = _Window(file)
    window.expect("[")
    number = 0
    while window.peek() != "]":
        if number and not window.expect(","):
            raise window.error("Expecting ',' or ']'")
        number += 1
        yield Record(number, *window.element())
    window.expect("]")
    if window.peek():
        raise window.error("Extra data after the list")


class _Window:
    """The part of the text that is being looked at; it grows while an element does not end in it."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._text, self._at, self._line = file, "", 0, 1

    def peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANK:
                self._line += self._text[self._at] == "\n"
                self._at += 1
            if self._at < len(self._text) or not self._grow(_CHUNK):
                return self._text[self._at : self._at + 1]

    def expect(self, character: str) -> bool:
        """Step over the next character if it is this one."""
        found = self.peek() == character
        self._at += found
        return found

    def element(self) -> tuple[str, Any]:
        """The next value, as text and decoded."""
        self.peek()
        more = _CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._grow(more):
                    more *= 2  # so that a large element is not decoded again for each piece
                    continue
                raise self.error(error.msg, self._text.count("\n", self._at, error.pos)) from error
            except RecursionError as error:
                raise self.error("Nested too deeply") from error
            # A number at the end of the window may go on after it.
            if end < len(self._text) or not self._grow(more):
                return self._pass(end), value

    def error(self, message: str, lines_on: int = 0) -> SourceError:
        return SourceError(f"is not a list in JSON: {message} at line {self._line + lines_on}")

    def _pass(self, end: int) -> str:
        passed = self._text[self._at : end]
        self._line += passed.count("\n")
        self._at = end
        return passed

    def _grow(self, size: int) -> bool:
        more = self._file.read(size)
        if more:
            self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)
