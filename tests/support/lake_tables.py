"""Tables of a lake on this machine's disk."""

from __future__ import annotations

from pathlib import Path

from flows.upkeep.inventory import LakeTable


def path_of(table: LakeTable) -> Path:
    """The directory of a table that is on the disk."""
    local = table.table.local
    assert local is not None
    return local
