"""The digests of the published schemas, so that one that is changed later is noticed.

`schemas/published.sha256` has a line for each, as `sha256sum` writes them: `cd schemas/published && sha256sum -c
../published.sha256`. Lines are only ever added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

SEALS = "schemas/published.sha256"
_FOLDER = "schemas/published/"


def broken(root: Path) -> list[str]:
    """A line for each published schema that is not what it was when it was published."""
    return [
        f"{_FOLDER}{name}: was {'changed' if now else 'removed'} after it was published; bring it back as it was, "
        "and let the next version say what is new"
        for name, digest in _recorded(root).items()
        if (now := _digest_of(root / _FOLDER / name)) != digest
    ]


def as_text(root: Path, new: Mapping[str, str]) -> str:
    """The file with those of today added; `new` has the texts of those that are about to be written, by path."""
    digests = {path.relative_to(root / _FOLDER).as_posix(): _digest_of(path) for path in _files(root)}
    digests |= {path.removeprefix(_FOLDER): _digest(text.encode()) for path, text in new.items()}
    digests |= _recorded(root)
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))


def _recorded(root: Path) -> dict[str, str]:
    lines = (root / SEALS).read_text("utf-8").splitlines() if (root / SEALS).is_file() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _files(root: Path) -> list[Path]:
    return sorted((root / _FOLDER).glob("*/*.json"))


def _digest_of(path: Path) -> str:
    return _digest(path.read_bytes()) if path.is_file() else ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
