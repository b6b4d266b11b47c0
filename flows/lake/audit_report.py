"""The findings of a quarantine audit for people, as Markdown. Text only, no I/O."""

from __future__ import annotations

import re
from urllib.parse import unquote

from flows.lake.books import REFUSED
from flows.lake.datasets import Dataset
from flows.lake.expressions import row_checks
from flows.lake.quarantine_audit import Findings, Quarantined

_LONGEST_RECORD = 2000
_MOST_FILES = 50


def statement(dataset: Dataset, source_uri: str | None, findings: Findings) -> str:
    """The audit in one sentence."""
    of = f"`{dataset.name}`" if source_uri is None else f"`{dataset.name}` from `{unquote(source_uri)}`"
    if findings.rows:
        worst, rows = next(iter(findings.by_rule.items()))
        return f"{findings.rows:,} rows of {of} are in quarantine; most of them ({rows:,}) broke `{worst}`."
    if findings.outcome == REFUSED:
        return f"No row of {of} is in quarantine: the whole file was refused, so that nothing of it reached Silver."
    return f"No row of {of} is in quarantine."


def audit_report(dataset: Dataset, source_uri: str | None, findings: Findings) -> str:
    """The whole page."""
    lines = [f"# Quarantine of {dataset.name}", "", statement(dataset, source_uri, findings), ""]
    if source_uri is not None:
        lines += [f"In quarantine from all files of the dataset: {findings.rows_in_all:,} rows.", ""]
    if findings.rows:
        lines += _by_rule(dataset, findings) + _by_source(findings) + _sample(findings)
    return "\n".join(lines + _trend(findings)) + "\n"


def _by_rule(dataset: Dataset, findings: Findings) -> list[str]:
    expressions = {check.name: check.expression for check in row_checks(dataset, with_rules=True)}
    head = ["## By rule", "", "| rule | rows | must hold |", "|---|---:|---|"]
    unknown = "a rule of an earlier definition"
    return (
        head
        + [
            f"| `{rule}` | {rows:,} | {_cell(expressions[rule]) if rule in expressions else unknown} |"
            for rule, rows in findings.by_rule.items()
        ]
        + ["", "A row that broke several rules is counted at each.", ""]
    )


def _by_source(findings: Findings) -> list[str]:
    rows = [f"| {_cell(unquote(uri))} | {count:,} |" for uri, count in list(findings.by_source.items())[:_MOST_FILES]]
    if left := len(findings.by_source) - len(rows):
        rows.append(f"| and {left:,} more | |")
    return ["## By file", "", "| file | rows |", "|---|---:|", *rows, ""]


def _sample(findings: Findings) -> list[str]:
    lines = [f"## {len(findings.sample)} of {findings.amount}, as they came", ""]
    for record in findings.sample:
        lines += _record(record)
    return lines


def _record(record: Quarantined) -> list[str]:
    raw = record.raw_record
    if len(raw) > _LONGEST_RECORD:
        raw = f"{raw[:_LONGEST_RECORD]}… ({len(record.raw_record):,} characters)"
    longest = max((len(run) for run in re.findall("`+", raw)), default=0)
    fence = "`" * max(3, longest + 1)
    broken = ", ".join(f"`{rule}`" for rule in record.failed_rules)
    fault = f" ({_cell(record.fault)})" if record.fault else ""
    name = _cell(unquote(record.source_uri).rpartition("/")[2])
    return [f"Row {record.row_number} of {name} broke {broken}{fault}", "", f"{fence}json", raw, fence, ""]


def _trend(findings: Findings) -> list[str]:
    if not findings.trend:
        return []
    head = ["## Latest files of the dataset", "", "| ended | file | outcome | rows | in quarantine | share |"]
    lines = [
        f"| {line.finished_at:%Y-%m-%d %H:%M} | {_cell(unquote(line.source_uri).rpartition('/')[2])} | {line.outcome} "
        f"| {line.rows_in:,} | {line.quarantined:,} | {_share(line.quarantined, line.rows_in)} |"
        for line in reversed(findings.trend)
    ]
    return [*head, "|---|---|---|---:|---:|---:|", *lines]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _cell(text: str) -> str:
    """Any text as code within a line or a cell of a table."""
    flat = " ".join(text.split()).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", flat)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{fence}{space}{flat}{space}{fence}"
