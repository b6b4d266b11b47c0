"""What can go wrong in maintenance, in plain words."""

from __future__ import annotations

from flows.errors import FlowError


class UpkeepError(FlowError):
    """Base."""


class BackupError(UpkeepError):
    """A backup could not be made, or what comes out of it is not what went in."""


class PurgeRefusedError(UpkeepError):
    """A purge would delete more than it may."""


class MaintenanceError(UpkeepError):
    """Some steps failed; the others were done."""


class UnsafeError(UpkeepError):
    """Somebody else needs the files that would be deleted, or is writing."""
