"""Where a lab keeps things below its state directory. Names only: nothing is read, started or deleted here."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

# sockaddr_un holds 108 bytes; the file name `.s.PGSQL.5432` and a final NUL must fit too.
_SOCKET_DIR_LIMIT = 90
# Postgres reads commas as separators, and clients put the path into a URL.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


@dataclass(frozen=True)
class LabLayout:
    """The folders and files of one lab. `home` is absolute; two labs differ in it and share nothing but jars."""

    home: Path

    @classmethod
    def at(cls, home: Path) -> LabLayout:
        """The layout of the lab in `home`, symbolic links resolved, so that one folder is always one lab."""
        return cls(home.expanduser().resolve())

    @property
    def lab_id(self) -> str:
        """What marks this lab's processes: stable for the folder, different for any other folder."""
        return hashlib.sha256(os.fsencode(self.home)).hexdigest()[:20]

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def state_file(self) -> Path:
        return self.run / "state.json"

    @property
    def ports_file(self) -> Path:
        return self.run / "ports.json"

    @property
    def lock_file(self) -> Path:
        return self.run / "lab.lock"

    def log(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    @property
    def postgres_socket_dir(self) -> Path:
        """Short and plain enough for a Unix socket: below `home` where that fits, else below the temp folder."""
        wanted = self.home / "postgres" / "socket"
        if len(os.fsencode(wanted)) <= _SOCKET_DIR_LIMIT and _PLAIN_PATH.fullmatch(str(wanted)):
            return wanted
        for base in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - for a long TMPDIR
            short = base / f"datalab-{os.getuid()}-{self.lab_id[:12]}"
            if len(os.fsencode(short)) <= _SOCKET_DIR_LIMIT and _PLAIN_PATH.fullmatch(str(short)):
                return short
        raise ValueError(f"no folder is short enough for the Postgres socket of {self.home}")

    def create(self) -> None:
        """Make the folders every part needs. Idempotent."""
        for folder in (self.home, self.logs, self.run):
            folder.mkdir(parents=True, exist_ok=True)


def cache_dir() -> Path:
    """Where downloads live that all labs share: DATALAB_CACHE, else the user's cache folder."""
    if configured := os.environ.get("DATALAB_CACHE"):
        return Path(configured).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "datalab"
