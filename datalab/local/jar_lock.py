"""The list of jars that Kafka and Delta need, as committed in `jars.lock`: what to have, not where to get it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

JarSet = Literal["kafka", "delta", "s3"]
LOCK_FILE = Path(__file__).with_name("jars.lock")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Jar:
    """One jar, by Maven coordinates, with the size in bytes and the SHA-256 that it must have."""

    group: str
    artifact: str
    version: str
    set: JarSet
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def intact(self, path: Path) -> bool:
        """Whether the file is this jar, whole and unchanged."""
        try:
            return path.stat().st_size == self.size and sha256_of(path) == self.sha256
        except OSError:
            return False


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def read_lock(path: Path = LOCK_FILE) -> list[Jar]:
    """The locked jars, in the order of the file."""
    return [Jar(**entry) for entry in json.loads(path.read_text())["jars"]]


def write_lock(jars: list[Jar], path: Path = LOCK_FILE) -> None:
    """Write the lock, sorted, so that a change shows as few lines."""
    ordered = sorted(jars, key=lambda jar: (jar.set, jar.group, jar.artifact))
    lines = ",\n".join(f"  {json.dumps(asdict(jar))}" for jar in ordered)
    path.write_text(f'{{"jars": [\n{lines}\n]}}\n')
