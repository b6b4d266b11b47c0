"""The run's summary for people: a Markdown page with the books and the quality rules. Text only, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from flows.lake.books import Books
from flows.lake.datasets import Dataset
from flows.lake.quality import GateResult

_SWITCHED_OFF = (
    "**Quality checks are switched off for this run** (`enable_quality_checks=False`); "
    "only what Silver cannot do without was checked."
)


def quality_report(
    dataset: Dataset,
    source_uri: str,
    gate: GateResult,
    books: Books | None,
    tables: Mapping[str, int],
    page: Path | None = None,
) -> str:
    """Markdown. `books` is None for a file that the gate refused; `tables` maps locations to versions; `page` is where
    the report with charts is."""
    verdict = "refused" if gate.refused_by else "passed" if gate.passed else "loaded, with rows in quarantine"
    lines = [f"# {dataset.name}: {verdict}", "", f"Source: `{unquote(source_uri)}`", ""]
    if page is not None:
        lines += [f"Charts: [{page.name}]({page.as_uri()}), at `{page}`", ""]
    if not gate.rules_applied:
        lines += [_SWITCHED_OFF, ""]
    lines += _books_table(gate, books) + _rules_table(gate)
    if tables:
        lines += ["## Tables", "", "| table | version |", "|---|---:|"]
        lines += [f"| `{path}` | {version} |" for path, version in tables.items()]
    return "\n".join(lines) + "\n"


def _books_table(gate: GateResult, books: Books | None) -> list[str]:
    if books is None:
        return [f"{gate.rows:,} rows read; Silver and Gold are unchanged.", ""]
    rows = {
        "rows in": books.rows_in,
        "Silver": books.silver,
        "quarantined": books.quarantined,
        "dropped duplicates": books.duplicates,
        "dropped by a rule": books.dropped,
    }
    return ["## Books", "", "| | rows |", "|---|---:|", *(f"| {name} | {n:,} |" for name, n in rows.items()), ""]


def _rules_table(gate: GateResult) -> list[str]:
    head = ["## Rules", "", "| rule | severity | failed rows | must hold |", "|---|---|---:|---|"]
    cells = [f"| {r.name} | {r.severity} | {r.failed_rows:,} | `{r.expression}` |" for r in gate.rules]
    return [*head, *cells, ""]
