"""Where backups are: STORE/LAYER/NAME/STAMP/, with manifest.json, the files below table/, and verified.json once a
restore of it was compared. Only verified ones count; the rest is what a killed or failed run left behind.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows.upkeep.manifest import VERIFIED

STAMP = "%Y%m%dT%H%M%S%fZ"
_HIDDEN = "."  # of names that are not backups: being written, or being removed


@dataclass(frozen=True)
class BackupStore:
    root: Path

    def of(self, table: str) -> Path:
        return self.root / table

    def verified(self, table: str) -> list[Path]:
        """Backups that count, the newest first."""
        return sorted((path for path in self._entries(table) if _counts(path)), key=lambda p: p.name, reverse=True)

    def partial(self, table: str, stamp: str) -> Path:
        """Where a backup is written before it gets its name."""
        return self.of(table) / f"{_HIDDEN}{stamp}.partial"

    def clear_leftovers(self, table: str) -> list[str]:
        """Remove all that does not count, such as what a killed run left; returns its names. Hold the dataset."""
        leftovers = [path for path in self._entries(table) if not _counts(path)]
        for path in leftovers:
            shutil.rmtree(path)
        return [path.name for path in leftovers]

    def keep_newest(self, table: str, count: int, made: Path) -> list[str]:
        """Remove all verified backups but the newest `count`; returns the names of what went.

        The one just made stays also if a clock was wrong and others bear a later time.
        """
        surplus = [path for path in self.verified(table)[count:] if path != made]
        for path in surplus:
            # Under its own name a backup is whole, also if the removal is cut short.
            going = path.rename(path.with_name(f"{_HIDDEN}{path.name}.removed"))
            shutil.rmtree(going)
        return [path.name for path in surplus]

    def tables(self) -> list[str]:
        """The tables that have backups."""
        found = self.root.glob(f"*/*/*/{VERIFIED}")
        return sorted({str(mark.parent.parent.relative_to(self.root)) for mark in found if _counts(mark.parent)})

    def _entries(self, table: str) -> list[Path]:
        directory = self.of(table)
        return [path for path in directory.iterdir() if path.is_dir()] if directory.is_dir() else []


def stamp_of(moment: datetime) -> str:
    """The name of a backup; names sort by time."""
    return moment.astimezone(UTC).strftime(STAMP)


def _counts(backup: Path) -> bool:
    return not backup.name.startswith(_HIDDEN) and (backup / VERIFIED).is_file()
