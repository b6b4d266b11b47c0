"""What a backup holds: its files with sizes and SHA-256, and what the table said. No copying here."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from flows.upkeep.contents import Content, Shape
from flows.upkeep.errors import BackupError

MANIFEST, VERIFIED, DATA = "manifest.json", "verified.json", "table"


def _inside(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("must stay below the table")
    return path


class BackedUpFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, AfterValidator(_inside)] = Field(description="relative to the table")
    size_bytes: int = Field(ge=0)
    sha256: str


class Manifest(BaseModel):
    """`files` are the data files of `version` and the log up to it; `content` was read from the table itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    table: str = Field(description="LAYER/NAME")
    dataset: str
    source: str = Field(description="where the table was")
    version: int
    created_at: AwareDatetime
    run_id: str | None = None
    files: tuple[BackedUpFile, ...]
    content: Content
    # Absent from backups that were made before it was kept.
    shape: Shape | None = None

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class Verification(BaseModel):
    """The mark of a backup that was restored and compared. It names the manifest that was true then.

    `restore_s`: how long that restore took, with all comparisons; None in marks from before it was kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    verified_at: datetime
    manifest_sha256: str
    restore_s: float | None = None


def read_manifest(backup: Path) -> Manifest:
    """Raises BackupError for a directory that is no backup, and for a manifest changed since it was verified."""
    try:
        content = (backup / MANIFEST).read_bytes()
        mark = read_verification(backup)
        if mark is not None and hashlib.sha256(content).hexdigest() != mark.manifest_sha256:
            raise BackupError(f"{backup}: {MANIFEST} was changed after the backup was verified; use another backup")
        return Manifest.model_validate_json(content)
    except OSError as error:
        raise BackupError(f"{backup}: is no backup of a table ({MANIFEST}: {error.strerror})") from error
    except ValidationError as error:
        raise _damaged(backup, error) from error


def read_verification(backup: Path) -> Verification | None:
    """The mark; None if the backup was never verified. Raises BackupError for one that is damaged."""
    mark = backup / VERIFIED
    try:
        return Verification.model_validate_json(mark.read_bytes()) if mark.exists() else None
    except ValidationError as error:
        raise _damaged(backup, error) from error


def _damaged(backup: Path, error: ValidationError) -> BackupError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return BackupError(f"{backup}: its {MANIFEST} or {VERIFIED} is damaged: {where} {first['msg']}")
