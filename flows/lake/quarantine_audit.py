"""What is in a dataset's quarantine and why: read from the Delta tables without Spark, a batch at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nsmallest
from itertools import chain
from typing import Any

from flows.lake.errors import LakeError
from flows.lake.tables import Lake, Table

TREND_RUNS = 10
_Place = tuple[str, int]


@dataclass(frozen=True)
class Quarantined:
    """A record as it came, its place, and everything that was wrong with it."""

    source_uri: str
    row_number: int
    raw_record: str
    failed_rules: tuple[str, ...]
    fault: str | None


@dataclass(frozen=True)
class Checked:
    """A line of the ledger: one file that went through the gate."""

    finished_at: datetime
    source_uri: str
    outcome: str
    rows_in: int
    quarantined: int


@dataclass(frozen=True)
class Findings:
    """`rows` and what follows is of the source if one was asked for; `rows_in_all` is of the dataset.

    `version` is None if the dataset has no quarantine.
    """

    version: int | None = None
    rows_in_all: int = 0
    rows: int = 0
    by_rule: dict[str, int] = field(default_factory=dict)
    by_source: dict[str, int] = field(default_factory=dict)
    sample: tuple[Quarantined, ...] = ()
    trend: tuple[Checked, ...] = ()
    outcome: str | None = None

    @property
    def amount(self) -> str:
        """`rows` as people say it."""
        return "1 record" if self.rows == 1 else f"{self.rows:,} records"


def find(lake: Lake, dataset: str, source_uri: str | None, sample: int) -> Findings:
    """Look through the quarantine and the ledger of a dataset; raises LakeError for a lake that is out of reach."""
    if lake.table("quarantine", dataset).for_readers is None:
        raise LakeError(f"LAKE_ROOT={lake.root}: tables are read on a local disk and in S3 stores only")
    checked = sorted(_ledger(lake.table("ledger", dataset)), key=lambda line: line.finished_at)
    outcome = next((line.outcome for line in reversed(checked) if line.source_uri == source_uri), None)
    trend = tuple(checked[-TREND_RUNS:])
    table = lake.table("quarantine", dataset).opened()
    if table is None:
        return Findings(trend=trend, outcome=outcome)
    records = table.to_pyarrow_dataset()
    tally = _Tally(source_uri, sample)
    for row in _rows(records, ["_source_file", "_ingest_id", "_row_number", "failed_rules"]):
        tally.add(row)
    return Findings(
        version=table.version(),
        rows_in_all=tally.rows_in_all,
        rows=tally.by_source.total(),
        by_rule=dict(tally.by_rule.most_common()),
        by_source=dict(tally.by_source.most_common()),
        sample=tuple(_records(records, tally.chosen())),
        trend=trend,
        outcome=outcome,
    )


class _Tally:
    """Counts, and the places of the first records of each combination of broken rules."""

    def __init__(self, source_uri: str | None, sample: int) -> None:
        self._source_uri, self._sample = source_uri, sample
        self.rows_in_all = 0
        self.by_rule, self.by_source = Counter[str](), Counter[str]()
        self._combinations = Counter[tuple[str, ...]]()
        self._places: dict[tuple[str, ...], list[_Place]] = defaultdict(list)

    def add(self, row: dict[str, Any]) -> None:
        self.rows_in_all += 1
        if self._source_uri not in {None, row["_source_file"]}:
            return
        rules = tuple(sorted(row["failed_rules"]))
        self.by_rule.update(rules)
        self.by_source[row["_source_file"]] += 1
        self._combinations[rules] += 1
        places = self._places[rules]
        places.append((row["_ingest_id"], row["_row_number"]))
        if len(places) > 4 * max(self._sample, 1):
            self._places[rules] = nsmallest(self._sample, places)

    def chosen(self) -> list[_Place]:
        """The sample: one record of each combination in turn, the most frequent first."""
        found = [sorted(self._places[rules]) for rules, _ in self._combinations.most_common()]
        turns = ([places[turn] for places in found if turn < len(places)] for turn in range(self._sample))
        return list(chain.from_iterable(turns))[: self._sample]


def _records(records: Any, chosen: list[_Place]) -> Iterator[Quarantined]:
    """The whole records at these places, in that order."""
    import pyarrow.dataset as ds

    if not chosen:
        return
    wanted = ds.field("_row_number").isin([row for _, row in chosen])
    names = ["_source_file", "_ingest_id", "_row_number", "raw_record", "failed_rules"]
    if "fault" in records.schema.names:
        names.append("fault")
    order = {place: number for number, place in enumerate(chosen)}
    found = {}
    for row in _rows(records, names, wanted):
        number = order.get((row["_ingest_id"], row["_row_number"]))
        if number is not None:
            found[number] = row
    for _, row in sorted(found.items()):
        yield Quarantined(
            row["_source_file"],
            row["_row_number"],
            row["raw_record"],
            tuple(row["failed_rules"]),
            row.get("fault"),
        )


def _ledger(ledger: Table) -> list[Checked]:
    table = ledger.opened()
    if table is None:
        return []
    names = ["finished_at", "source_uri", "outcome", "rows_in", "quarantined"]
    return [Checked(**row) for row in _rows(table.to_pyarrow_dataset(), names)]


def _rows(records: Any, names: list[str], wanted: Any = None) -> Iterator[dict[str, Any]]:
    for batch in records.to_batches(columns=names, filter=wanted):
        yield from batch.to_pylist()
