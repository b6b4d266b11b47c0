"""In which order the files of a table are put where nothing can be renamed, so that nobody reads a part of it.

Delta reads a table from a checkpoint, or from version 0 on: these files of the log are its doors. Whoever lists the log
while none of them is there finds no table. Taken away they are first, in the reverse order. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

_LOG = "_delta_log"
# `_last_checkpoint` names one that must be there already: between all that have a number and 0.
_UNNUMBERED = 0.5


def putting_order(paths: Iterable[str]) -> list[str]:
    """Data, then the log without its doors, then these: the newest checkpoint first, version 0 last."""
    return sorted(paths, key=_place)


def doors(paths: Iterable[str]) -> list[str]:
    """The files by which a reader finds the table, in the order of putting."""
    return [path for path in putting_order(paths) if _is_door(path)]


def _place(path: str) -> tuple[int, float, str]:
    if PurePosixPath(path).parts[0] != _LOG:
        return 0, 0, path
    if not _is_door(path):
        return 1, 0, path
    return 2, -_version(path), path


def _is_door(path: str) -> bool:
    log = PurePosixPath(path)
    if log.parts[0] != _LOG or len(log.parts) != 2:  # sidecars are read through a checkpoint
        return False
    return "checkpoint" in log.name or (_version(path) == 0 and path.endswith(".json"))


def _version(path: str) -> float:
    """The first version that a file of the log tells of."""
    first = PurePosixPath(path).name.split(".")[0]
    return int(first) if first.isdecimal() else _UNNUMBERED
