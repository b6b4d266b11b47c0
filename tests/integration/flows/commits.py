"""The steps of an ingestion that commit to a table, in their order: where a run may end in between."""

from __future__ import annotations

from types import ModuleType

from flows.lake import books, bronze, gold, quarantine, results, silver

COMMITS: list[tuple[ModuleType, str]] = [
    (bronze, "append_file"),
    (quarantine, "put"),
    (silver, "merge_accepted"),
    (gold, "refresh"),
    (results, "record"),
    (books, "record"),
]
