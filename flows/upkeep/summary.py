"""The run in a few lines: its verdict, a Markdown summary, and the words that the HTML page uses too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flows.html_report import Tone
from flows.upkeep.forecast import days_until_full, expected_bytes
from flows.upkeep.outcomes import Outcome, TableOutcome
from flows.upkeep.usage_statistics import TableUsage

Before = Mapping[str, TableUsage]

_COLUMNS = ("table", "rows", "growth", "backup", "purge", "merged", "vacuumed", "audit")
_UNITS = ("B", "kB", "MB", "GB", "TB")


def markdown_report(outcome: Outcome, before: Before, page_path: Path) -> str:
    """The summary for Prefect's page of the run."""
    lines = [f"# Maintenance: {verdict(outcome)[1]}", "", f"Report: `{page_path}`", ""]
    for reason, stopped in outcome.reasons().items():
        lines += [f"- **{', '.join(stopped)}**: {reason}"]
    if not outcome.tables:
        return "\n".join([*lines, "There are no tables yet."]) + "\n"
    lines += ["", f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for done in outcome.tables:
        rows = done.usage.rows if done.usage else None
        cells = (
            done.table,
            _number(rows),
            signed(growth(done, before)),
            _backup_word(done),
            purge_word(done),
            _number(done.compaction.files_removed if done.compaction else None),
            _number(done.cleaning.files if done.cleaning else None),
            "–" if done.audit is None else "passed" if done.audit.passed else f"{done.audit.rows_failed:,} rows",
        )
        lines.append(f"| {' | '.join(cells)} |")
    if tidied := old_pages_word(outcome):
        lines += ["", tidied]
    return "\n".join(lines) + "\n"


def verdict(outcome: Outcome) -> tuple[Tone, str]:
    """How the run went, in a few words."""
    if outcome.reasons():
        return "bad", "incomplete"
    if any(not audit.passed for audit in outcome.audits):
        return "warn", "done, the audit found broken rules"
    if outcome.dry_run:
        return "plain", "dry run: nothing was changed"
    return ("good", "done") if outcome.tables else ("plain", "no tables yet")


def growth(done: TableOutcome, before: Before) -> int | None:
    """Rows more than at the last maintenance; None if there was none."""
    last = before.get(done.table)
    return done.usage.rows - last.rows if done.usage and last else None


def forecast_word(usage: TableUsage, before: Before) -> str:
    """What the table will hold in 30 days."""
    expected = expected_bytes(usage, before.get(usage.table))
    return "–" if expected is None else size(expected)


def full_word(outcome: Outcome, before: Before) -> str:
    """When the lake's disk would be full; empty where that cannot be told."""
    if outcome.free_bytes is None:
        return ""
    usages = [done.usage for done in outcome.tables if done.usage]
    days = days_until_full(usages, before, outcome.free_bytes)
    free = f"The lake's disk has {size(outcome.free_bytes)} free"
    return f"{free}." if days is None else f"{free}: enough for {days:,} days of that."


def old_pages_word(outcome: Outcome) -> str:
    """What became of old reports and lineage; empty where there are none."""
    old = outcome.old_pages
    if old is None or not old.paths:
        return ""
    count = "one file" if len(old.paths) == 1 else f"{len(old.paths):,} files"
    fate = "would go" if outcome.dry_run else "were deleted"
    return f"Old reports and lineage, {count} of {size(old.size_bytes)}, {fate}."


def _backup_word(done: TableOutcome) -> str:
    if done.backup:
        return f"verified, {size(done.backup.manifest.size_bytes)}"
    return "–" if done.backup_due is None else "failed" if "backup" in done.problems else "would be made"


def purge_word(done: TableOutcome) -> str:
    """What became of the rows that are older than the retention."""
    if done.purge is None or not done.purge.partitions:
        return "–"
    rows = f"{done.purge.rows:,} rows"
    return f"{rows} deleted" if done.purged else f"{rows} kept" if done.problems else f"{rows} would go"


def size(number: float) -> str:
    """Bytes in a unit that is read at a glance."""
    for unit in _UNITS[:-1]:
        if abs(number) < 1000:
            return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} {_UNITS[-1]}"


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def signed(value: int | None) -> str:
    return "–" if value is None else f"{value:+,}"
