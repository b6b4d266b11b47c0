"""The run for people as one HTML page. Text only, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from markupsafe import Markup

from flows.charts import bars
from flows.config import TIMEZONE
from flows.html_report import Section, Tone, badge, cards, code, page, svg, table
from flows.upkeep.outcomes import Outcome, TableOutcome
from flows.upkeep.summary import (
    Before,
    forecast_word,
    full_word,
    growth,
    old_pages_word,
    purge_word,
    signed,
    size,
    verdict,
)

_TONES: Mapping[str, Tone] = {"fail": "bad", "quarantine": "bad", "drop": "warn", "warn": "warn"}


def html_report(outcome: Outcome, before: Before, now: datetime) -> str:
    """The page. `before` are the figures of the last maintenance."""
    sections = [_overview(outcome), *_problems(outcome)]
    if outcome.tables:
        sections += [_backups(outcome), _purges(outcome), _compactions(outcome), _audits(outcome)]
        sections += [_usage(outcome, before)]
    if outcome.unknown_tables:
        listed = table(("table",), ([code(name)] for name in outcome.unknown_tables))
        sections.append(Section("Tables of no dataset", listed, note="Nobody looks after them; name them in datasets."))
    return page(
        "Maintenance of the lake",
        sections,
        kind="DataFlow Lab · maintenance",
        verdict=verdict(outcome),
        lead=f"{now.astimezone(ZoneInfo(TIMEZONE)):%A, %d %B %Y, %H:%M} ({TIMEZONE})",
    )


def _overview(outcome: Outcome) -> Section:
    if not outcome.tables:
        return Section("Overview", "There are no tables to look after yet: no dataset was loaded so far.")
    backups = [done.backup for done in outcome.tables if done.backup]
    failed = sum(audit.rows_failed for audit in outcome.audits if not audit.passed)
    purged = sum(done.purge.rows for done in outcome.tables if done.purge and (done.purged or outcome.dry_run))
    figures: list[tuple[str, object, Tone]] = [
        ("tables", len(outcome.tables), "plain"),
        ("rows", sum(done.usage.rows for done in outcome.tables if done.usage), "plain"),
        ("verified backups", len(backups), "good" if backups else "plain"),
        ("rows to purge" if outcome.dry_run else "rows purged", purged, "plain"),
        ("rows that break a rule", failed, "bad" if failed else "good"),
        ("problems", len(outcome.reasons()), "bad" if outcome.reasons() else "good"),
    ]
    return Section("Overview", cards(figures), note=old_pages_word(outcome))


def _problems(outcome: Outcome) -> Iterator[Section]:
    if reasons := outcome.reasons():
        rows = ((", ".join(stopped), reason) for reason, stopped in reasons.items())
        yield Section("What was not done", table(("step", "reason"), rows), note="All other steps were done.")


def _backups(outcome: Outcome) -> Section:
    rows = []
    for done in outcome.tables:
        if done.backup_due is None:
            continue
        made = done.backup
        rows.append(
            (
                done.table,
                done.backup_due,
                _backup_badge(done, dry_run=outcome.dry_run),
                made.manifest.version if made else None,
                made.manifest.content.rows if made else None,
                len(made.manifest.files) if made else None,
                size(made.manifest.size_bytes) if made else None,
                code(made.path.name) if made else None,
                len(made.expired) if made else None,
            )
        )
    columns = ("table", "because", "state", "version", "rows", "files", "size", "name", "old ones removed")
    note = "Each was restored to another place and compared: SHA-256 of every file, version, rows, every column."
    places = {str(done.backup.path.parents[2]) for done in outcome.tables if done.backup}
    note += "".join(f" They are STORE/TABLE/NAME; the store is {place}." for place in places)
    return Section("Backups", table(columns, rows, empty="None was due."), note=note)


def _purges(outcome: Outcome) -> Section:
    columns = ("table", "older than", "partition", "rows", "oldest", "newest", "state")
    rows = [
        (done.table, done.purge.cutoff, part.label, part.rows, part.oldest, part.newest, purge_word(done))
        for done in outcome.tables
        if done.purge
        for part in done.purge.partitions
    ]
    return Section("Purge", table(columns, rows, empty="No partition is older than its dataset's retention."))


def _compactions(outcome: Outcome) -> Section:
    columns = ("table", "files merged", "into", "files VACUUM may delete", "deleted", "freed")
    rows = (
        (
            done.table,
            done.compaction.files_removed if done.compaction else None,
            done.compaction.files_added if done.compaction else None,
            done.doomed_text,
            done.cleaning.files if done.cleaning else None,
            size(done.cleaning.size_bytes) if done.cleaning else None,
        )
        for done in outcome.tables
    )
    note = "Merged files stay on the disk until no version of the last week needs them."
    return Section("OPTIMIZE and VACUUM", table(columns, rows), note=note)


def _audits(outcome: Outcome) -> Section:
    rules, examples, notes = [], [], []
    for audit in outcome.audits:
        notes += [f"{audit.table}: {audit.note}."] if audit.note else []
        examples += [(audit.table, code(example.key), ", ".join(example.rules)) for example in audit.examples]
        for rule in audit.rules:
            held = rule.failed_rows == 0
            word = badge("held", "good") if held else badge(rule.severity, _TONES[rule.severity])
            rules.append((audit.table, rule.name, code(rule.expression), audit.rows, rule.failed_rows, word))
    blocks: list[Markup | str] = [table(("table", "rule", "must hold", "rows", "broken by", "result"), rules), *notes]
    if examples:
        blocks += ["Rows that break a rule (the first of each table):", table(("table", "key", "rules"), examples)]
    return Section("Quality audit", *blocks, note="Silver against the rules as they are now; Gold against Silver.")


def _usage(outcome: Outcome, before: Before) -> Section:
    figures = ("rows", "growth", "files", "small", "size", "in 30 days", "on disk", "versions")
    columns = ("table", *figures, "last write", "by")
    found = [(done, done.usage) for done in outcome.tables if done.usage]
    rows = (
        (
            done.table,
            usage.rows,
            signed(growth(done, before)),
            usage.files,
            usage.small_files,
            size(usage.size_bytes),
            forecast_word(usage, before),
            size(usage.disk_bytes),
            usage.versions_kept,
            f"{usage.last_write:%Y-%m-%d %H:%M} UTC" if usage.last_write else None,
            usage.last_operation,
        )
        for done, usage in found
    )
    large = any(usage.disk_bytes >= 1e6 for _, usage in found)
    divisor, unit = (1e6, "MB") if large else (1e3, "kB")
    chart = bars({done.table: round(usage.disk_bytes / divisor, 2) for done, usage in found}, unit=f" {unit}")
    note = (
        "Growth in rows since the last maintenance; small files could be merged by OPTIMIZE. In 30 days: the size, if "
        f"tables go on growing as between the last two maintenances. {full_word(outcome, before)}"
    )
    return Section("Usage", svg(chart, label=f"{unit} on disk by table"), table(columns, rows), note=note)


def _backup_badge(done: TableOutcome, *, dry_run: bool) -> Markup:
    if dry_run:
        return badge("would be made", "plain")
    return badge("verified", "good") if done.backup else badge("failed", "bad")
