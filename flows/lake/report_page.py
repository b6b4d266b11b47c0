"""The report of a run as one HTML page: rows per layer, each rule, the measures in Gold, and how it was before."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from flows import charts
from flows.html_report import Section, Tone, badge, cards, code, page, svg, table
from flows.lake.books import Books
from flows.lake.report_data import Measure, PastRun

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from flows.lake.datasets import Dataset
    from flows.lake.definitions import Chart
    from flows.lake.quality import GateResult
    from flows.lake.staging import StagedFile

_TONES: dict[str, Tone] = {"warn": "warn", "drop": "warn", "quarantine": "bad", "fail": "bad"}
_FATES = {
    "Silver": charts.GREEN,
    "quarantined": charts.RED,
    "dropped by a rule": charts.AMBER,
    "duplicates": "#9aa6b5",
    "refused": "#5b1f2a",
}


class RunReport:
    """What one ingestion came to. `books` is None for a file that the gate refused; `tables` maps locations to
    versions, `groups` Gold tables to the groups that were recomputed. Not a dataclass: Prefect would walk through all
    of it, and takes the dataset's `keys` for those of a mapping."""

    def __init__(
        self,
        dataset: Dataset,
        staged: StagedFile,
        gate: GateResult,
        books: Books | None,
        tables: Mapping[str, int],
        groups: Mapping[str, int],
        run_id: str | None = None,
    ) -> None:
        self.dataset, self.staged, self.gate, self.books = dataset, staged, gate, books
        self.tables, self.groups, self.run_id = tables, groups, run_id

    @property
    def verdict(self) -> tuple[Tone, str]:
        if self.gate.refused_by:
            return "bad", "refused"
        return ("good", "passed") if self.gate.passed else ("warn", "loaded, with rows in quarantine")

    @property
    def charts(self) -> tuple[Chart, ...]:
        """The charts to draw: of a refused file none, as Gold does not know it."""
        return self.dataset.charts if self.books else ()

    def as_past(self, now: datetime) -> PastRun:
        """This run as the ledger will tell of it."""
        gate = self.gate
        books = Books(gate.rows, gate.accepted, gate.quarantined, gate.dropped, gate.duplicates)
        return PastRun(now, self.staged.uri, self.books is None, books)


def render(run: RunReport, past: list[PastRun], measures: list[Measure]) -> str:
    """The page. `past` ends with this run."""
    name = PurePosixPath(unquote(run.staged.uri)).name
    facts = {
        "Source": code(unquote(run.staged.uri)),
        "Content": code(f"SHA-256 {run.staged.sha256}"),
        "Size": f"{run.staged.size_bytes:,} bytes",
        "Ingestion": code(run.staged.ingest_id),
        "Run": code(run.run_id) if run.run_id else None,
        "Rules": f"version {run.dataset.version}" + ("" if run.gate.rules_applied else ", switched off for this run"),
    }
    sections = [_layers(run), _rules(run), *map(_measure, measures), _past(past), _tables(run)]
    return page(
        f"{run.dataset.name}: {name}",
        sections,
        kind="Medallion ETL",
        verdict=run.verdict,
        lead=run.dataset.description,
        facts=facts,
    )


def _layers(run: RunReport) -> Section:
    gate = run.gate
    tone: Tone = "bad" if gate.quarantined else "good"
    share = f"{100 * gate.accepted / gate.rows:.1f} %" if gate.rows else "–"
    figures: list[tuple[str, object, Tone]] = [
        ("rows in", gate.rows, "plain"),
        ("accepted", gate.accepted, "good"),
        ("of the rows accepted", share, "plain"),
        ("for quarantine", gate.quarantined, tone),
        ("dropped", gate.dropped + gate.duplicates, "warn" if gate.dropped + gate.duplicates else "plain"),
    ]
    if run.books is None:
        return Section("Rows", cards(figures), note="The file was refused: Silver and Gold are as they were.")
    books = run.books
    rows = {"Bronze": books.rows_in, "Silver": books.silver, "Quarantine": books.quarantined}
    rows |= {"Dropped": books.dropped + books.duplicates}
    rows |= {f"Gold {name} (groups)": groups for name, groups in run.groups.items()}
    colours = (charts.AMBER, charts.BLUE, charts.RED, "#9aa6b5", *[charts.TEAL] * len(run.groups))
    balance = (
        f"Every row is accounted for: {books.rows_in:,} = {books.silver:,} in Silver + {books.quarantined:,} in "
        f"quarantine + {books.dropped:,} dropped by a rule + {books.duplicates:,} duplicates."
    )
    return Section(
        "Rows per layer", cards(figures), svg(charts.bars(rows, colours=colours), label="Rows"), note=balance
    )


def _rules(run: RunReport) -> Section:
    rules = sorted(run.gate.rules, key=lambda rule: -rule.failed_rows)
    broken = {rule.name: float(rule.failed_rows) for rule in rules if rule.failed_rows}
    rows = [
        (
            code(rule.name),
            badge(rule.severity, _TONES[rule.severity] if rule.failed_rows else "plain"),
            rule.failed_rows,
            100 * (1 - rule.failed_rows / run.gate.rows) if run.gate.rows else None,
            code(rule.expression),
        )
        for rule in rules
    ]
    columns = ("rule", "severity", "rows that broke it", "held, %", "must hold")
    if not broken:
        return Section("Quality", table(columns, rows), note="Every rule held.")
    colours = [charts.RED if _TONES[r.severity] == "bad" else charts.AMBER for r in rules if r.failed_rows]
    drawn = svg(charts.bars(broken, colours=colours), label="Rows that broke each rule")
    return Section(
        "Quality", drawn, table(columns, rows), note=f"{run.gate.rows_failed:,} rows broke at least one rule."
    )


def _measure(found: Measure) -> Section:
    if not found.x:
        return Section(found.chart.title, "The table has no such value yet.")
    note = f"{found.chart.y} by {found.chart.x}, from Gold {found.chart.table}"
    if found.left_out:
        note += f"; the {len(found.series)} largest of {len(found.series) + found.left_out} series"
    return Section(found.chart.title, svg(charts.lines(found.x, found.series), label=found.chart.title), note=note)


def _past(past: list[PastRun]) -> Section:
    """The last runs, this one at the end."""
    parts: dict[str, list[float]] = {name: [] for name in _FATES}
    for run in past:
        books = run.books
        counts = (books.silver, books.quarantined, books.dropped, books.duplicates, 0)
        for name, count in zip(parts, (0, 0, 0, 0, books.rows_in) if run.refused else counts, strict=True):
            parts[name].append(float(count))
    drawn = {name: counted for name, counted in parts.items() if any(counted)}
    labels = [f"{run.finished_at:%m-%d}\n{run.finished_at:%H:%M}" for run in past]
    rows = [
        (
            f"{run.finished_at:%Y-%m-%d %H:%M:%S}",
            code(PurePosixPath(unquote(run.source_uri)).name),
            badge("refused", "bad") if run.refused else badge("loaded", "good"),
            run.books.rows_in,
            0 if run.refused else run.books.silver,
            100 * run.books.quarantined / run.books.rows_in if run.books.rows_in else None,
        )
        for run in reversed(past)
    ]
    columns = ("ended (UTC)", "file", "outcome", "rows in", "Silver", "quarantined, %")
    colours = [_FATES[name] for name in drawn]
    return Section(
        "Trend",
        svg(charts.stacked(labels, drawn, colours), label="Rows of the last ingestions"),
        table(columns, rows),
        note=f"The last {len(past)} ingestions of this dataset; the newest is this one.",
    )


def _tables(run: RunReport) -> Section:
    rows = [(code(path), version) for path, version in run.tables.items()]
    return Section("Tables", table(("table", "version"), rows, empty="No table was changed."))
