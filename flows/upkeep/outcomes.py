"""What a maintenance run did and found, table by table, as data for the report, the events and the run's state."""

from __future__ import annotations

from dataclasses import dataclass, field

from flows.upkeep.audit import Audit
from flows.upkeep.backup import Backup
from flows.upkeep.errors import MaintenanceError
from flows.upkeep.old_pages import OldPages
from flows.upkeep.optimise import PREVIEW_LIMIT, Cleaning, Compaction
from flows.upkeep.purge import PurgePlan
from flows.upkeep.usage_statistics import TableUsage


@dataclass
class TableOutcome:
    """One table. None means that the step was not done; `problems` (step to reason) says why if it should have been.

    `purge` is the plan and `purged` what became of it; `doomed` is the number of files that VACUUM would delete.
    """

    table: str
    critical: bool
    backup: Backup | None = None
    backup_due: str | None = None
    purge: PurgePlan | None = None
    purged: bool = False
    compaction: Compaction | None = None
    doomed: int | None = None
    cleaning: Cleaning | None = None
    audit: Audit | None = None
    usage: TableUsage | None = None
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def doomed_text(self) -> str:
        """How many files VACUUM would delete, in words; its preview ends at a thousand."""
        if self.doomed is None:
            return "–"
        return f"{self.doomed:,} or more" if self.doomed >= PREVIEW_LIMIT else f"{self.doomed:,}"


@dataclass
class Outcome:
    """The run. `problems` are those of no single table; `free_bytes` has the lake's disk, None for a lake elsewhere.
    `old_pages` are gone, or would go in a dry run; None where they were not looked for."""

    dry_run: bool
    free_bytes: int | None = None
    tables: list[TableOutcome] = field(default_factory=list)
    unknown_tables: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    old_pages: OldPages | None = None

    @property
    def audits(self) -> list[Audit]:
        return [table.audit for table in self.tables if table.audit is not None]

    def reasons(self) -> dict[str, list[str]]:
        """Why steps were not done, with what each reason stopped: one Spark that is down stops many."""
        found = [(f"{step}", reason) for step, reason in self.problems.items()]
        found += [(f"{step} of {t.table}", reason) for t in self.tables for step, reason in t.problems.items()]
        stopped: dict[str, list[str]] = {}
        for what, reason in found:
            stopped.setdefault(reason, []).append(what)
        return stopped

    def raise_if_incomplete(self) -> None:
        """Raise MaintenanceError that names each step that was not done, and why."""
        if stopped := self.reasons():
            said = " | ".join(f"{', '.join(what)}: {reason}" for reason, what in stopped.items())
            count = sum(len(what) for what in stopped.values())
            raise MaintenanceError(f"maintenance is incomplete, {count} steps were not done: {said}")

    def summary(self) -> dict[str, object]:
        """For the caller: what was done, in plain types."""
        return {
            "dry_run": self.dry_run,
            "tables": [table.table for table in self.tables],
            "backups": {t.table: str(t.backup.path) for t in self.tables if t.backup},
            "rows_to_purge": {t.table: t.purge.rows for t in self.tables if t.purge and t.purge.partitions},
            "rows_purged": {t.table: t.purge.rows for t in self.tables if t.purge and t.purged},
            "files_merged": {t.table: t.compaction.files_removed for t in self.tables if t.compaction},
            "files_vacuumed": {t.table: t.cleaning.files for t in self.tables if t.cleaning and t.cleaning.files},
            "audits_failed": [audit.table for audit in self.audits if not audit.passed],
            "reports_deleted": 0 if self.dry_run or self.old_pages is None else len(self.old_pages.paths),
            "rows": {t.table: t.usage.rows for t in self.tables if t.usage},
        }
