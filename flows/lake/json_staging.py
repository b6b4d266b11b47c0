"""Staging of JSON: each record on a line of its own, its values as text under the names of the columns.

What a record says is kept to the letter: numbers by their digits, nested values as JSON. A record that cannot be a row
is staged all the same, as it was written and with the reason; the quality gate puts it in quarantine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flows.lake.datasets import Dataset
from flows.lake.errors import SourceError
from flows.lake.json_records import Number, Object, Record, records
from flows.lake.staging import StagedFile, copy_text, ingest_id

# Where the names of fields are data, each would become a column of Bronze for ever.
MOST_FIELDS = 1000
_KINDS = {Object: "an object", list: "a list", Number: "a number", str: "a text", bool: "true or false"}


def stage_json(path: Path, into: Path, dataset: Dataset, *, lines: bool) -> StagedFile:
    """Copy the file and stage its records; raises SourceError for what holds no record that is an object."""
    copy = copy_text(path, into)
    uri = path.as_uri()
    staged = into / f"{ingest_id(uri, copy.sha256)}.jsonl"
    columns = _Columns(dataset)
    try:
        with staged.open("w", encoding="ascii") as out:
            first = _write(records(copy.path, lines=lines), columns, out)
    except SourceError as error:
        raise SourceError(f"{path.name}: {error}") from error
    copy.path.unlink()
    if first is None:
        raise SourceError(f"{path.name}: the file holds no record")
    if not columns.present:
        raise SourceError(f"{path.name}: no record is an object with fields; the first one is {first}")
    return StagedFile(uri, copy.sha256, copy.size_bytes, staged, tuple(columns.present), False, "records")


def first_fields(path: Path, *, lines: bool) -> list[str]:
    """The names in the first record that is an object, to tell which dataset the file belongs to."""
    try:
        values = (record.value for record in records(path, lines=lines))
        return next(([name for name, _ in value] for value in values if isinstance(value, Object)), [])
    except (SourceError, UnicodeDecodeError) as error:
        raise SourceError(f"{path.name}: {error}") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error


class _Columns:
    """The column of each field that was seen so far. The name of a column depends on nothing that comes later."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset, self._extra = dataset, list[str]()
        self._by_field: dict[str, str] = {}
        self.present: dict[str, None] = {}

    def of(self, field: str) -> str:
        """The column; raises SourceError if there are too many."""
        column = self._by_field.get(field)
        if column is None:
            column = self._dataset.known_column(field) or self._new(field)
            self._by_field[field] = column
            self.present[column] = None
        return column

    def is_declared(self, column: str) -> bool:
        return column in self._dataset.columns

    def _new(self, field: str) -> str:
        if len(self._extra) >= MOST_FIELDS:
            raise SourceError(f"the records have more than {MOST_FIELDS} fields that the dataset does not know")
        self._extra.append(field)
        return self._dataset.canonical_names([*self._dataset.columns, *self._extra])[-1]


def _write(found: Iterable[Record], columns: _Columns, out: Any) -> str | None:
    """Write every record; returns what the first one is, None without one."""
    first = None
    for record in found:
        values, fault = _values(record, columns)
        kept = {"n": record.number, "f": values, "r": record.raw if fault else None, "e": fault}
        out.write(json.dumps(kept, separators=(",", ":")) + "\n")
        first = first or fault or "an object without fields"
    return first


def _values(record: Record, columns: _Columns) -> tuple[dict[str, str | None], str | None]:
    """Texts by column, and what keeps the record from being a row."""
    if record.fault is not None:
        return {}, record.fault
    if not isinstance(record.value, Object):
        kind = "null" if record.value is None else _KINDS[type(record.value)]
        return {}, f"{kind} and not an object"
    try:
        return _columns_of(record, record.value, columns)
    except UnicodeEncodeError:
        return {}, "half of a character: a lone surrogate"
    except RecursionError:
        return {}, "nested too deeply"


def _columns_of(record: Record, fields: Object, columns: _Columns) -> tuple[dict[str, str | None], str | None]:
    # Only an escape can bring half of a surrogate pair in, which UTF-8 cannot write.
    if "\\ud" in record.raw.lower():
        _text(fields).encode()
    values: dict[str, str | None] = {}
    faults: list[str] = []
    for field, value in fields:
        column = columns.of(field)
        if column in values:
            faults.append(f"{column} is given twice")
        if isinstance(value, list) and columns.is_declared(column):
            faults.append(f"{column} is {_KINDS[type(value)]} and not one value")
        values[column] = _text(value)
    return values, "; ".join(dict.fromkeys(faults)) or None


def _text(value: Any, *, nested: bool = False) -> Any:
    """A value as Bronze keeps it: text as it is, the rest as JSON, null as None."""
    if value is None:
        return "null" if nested else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if nested else value
    if isinstance(value, Object):
        pairs = (f"{json.dumps(name, ensure_ascii=False)}: {_text(item, nested=True)}" for name, item in value)
        return "{" + ", ".join(pairs) + "}"
    return "[" + ", ".join(_text(item, nested=True) for item in value) + "]"
