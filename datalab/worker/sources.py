"""Which project files a process has imported, as they were when Python read them, and whether they changed since.

Only what lies outside the standard library and the installed packages: those do not change under a running lab.
"""

from __future__ import annotations

import importlib.machinery
import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Stamp = tuple[float, int]  # modification time in seconds, size in bytes

_INSTALLED = tuple(
    f"{Path(sysconfig.get_paths()[name]).resolve()}{os.sep}" for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


class SourceRecorder:
    """Notes the stamp of every project file that is imported from now on, taken before the file is read."""

    def __init__(self) -> None:
        self.files: dict[str, Stamp] = {}

    def install(self) -> None:
        """Listen to Python's own loader, which asks for the stamp of each file to judge its cached bytecode."""
        loader: Any = importlib.machinery.SourceFileLoader
        original = loader.path_stats

        def path_stats(this: Any, path: str) -> Mapping[str, Any]:
            stats: Mapping[str, Any] = original(this, path)
            self._note(path, stats)
            return stats

        loader.path_stats = path_stats

    def _note(self, path: str, stats: Mapping[str, Any]) -> None:
        absolute = str(Path(path).absolute())
        if not absolute.startswith(_INSTALLED):
            self.files[absolute] = (float(stats["mtime"]), int(stats["size"]))


def changed(files: Mapping[str, Stamp]) -> str | None:
    """The first file that is not as it was, or None."""
    return next((path for path, stamp in files.items() if _stamp(path) != stamp), None)


def _stamp(path: str) -> Stamp | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return (status.st_mtime, status.st_size)
