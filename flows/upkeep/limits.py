"""How far a maintenance run may go, as its parameters say; wrong ones are refused before anything is done."""

from __future__ import annotations

from dataclasses import dataclass

from flows.upkeep.errors import UpkeepError
from flows.upkeep.optimise import require_safe_retention


@dataclass(frozen=True)
class Limits:
    dry_run: bool = False
    keep_backups: int = 4
    vacuum_hours: int = 168
    max_purge_share: float = 0.5
    force_purge: bool = False
    keep_report_days: int = 365

    def check(self) -> None:
        """Raise UpkeepError that names the parameter."""
        if self.keep_backups < 1:
            raise UpkeepError(f"keep_backups={self.keep_backups}: must be at least 1, the one that was just made")
        if not 0 < self.max_purge_share <= 1:
            raise UpkeepError(f"max_purge_share={self.max_purge_share}: must be above 0 and at most 1 (0.5: half)")
        if self.keep_report_days < 1:
            raise UpkeepError(f"keep_report_days={self.keep_report_days}: must be at least 1 (365: a year)")
        require_safe_retention(self.vacuum_hours)
