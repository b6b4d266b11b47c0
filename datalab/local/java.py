"""Finding a Java that runs Kafka and Spark. Never installs one: the message names the command that does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = (17, 21)
_MEND = "apt-get install openjdk-17-jre-headless (macOS: brew install openjdk@17), or set JAVA_HOME to a Java 17 or 21"
_VERSION = re.compile(r'version "(\d+)(?:\.(\d+))?')


@dataclass(frozen=True)
class Java:
    """A Java found on this machine. `home` is its JAVA_HOME."""

    executable: Path
    major: int

    @property
    def home(self) -> Path:
        return self.executable.parent.parent


class JavaMissingError(RuntimeError):
    """No fitting Java. The message is one line and ends with the command that mends it."""


def find_java(environ: dict[str, str] | None = None) -> Java:
    """The Java of JAVA_HOME if it fits, else the one on PATH; raises JavaMissingError."""
    environ = dict(os.environ) if environ is None else environ
    seen: list[str] = []
    for executable in _candidates(environ):
        major = _major_version(executable)
        if major in SUPPORTED:
            return Java(executable.resolve(), major)
        seen.append(f"{executable} is {'not runnable' if major is None else f'version {major}'}")
    found = "; ".join(seen) or "there is none on PATH or in JAVA_HOME"
    raise JavaMissingError(f"Java 17 or 21 is needed ({found}). Mend it with: {_MEND}")


def _candidates(environ: dict[str, str]) -> list[Path]:
    found: list[Path] = []
    if home := environ.get("JAVA_HOME"):
        found.append(Path(home) / "bin" / "java")
    if on_path := shutil.which("java", path=environ.get("PATH")):
        found.append(Path(on_path))
    return found


def _major_version(executable: Path) -> int | None:
    try:
        answer = subprocess.run(  # noqa: S603 - the Java that the user chose
            [executable, "-version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(answer.stderr + answer.stdout)
    if answer.returncode != 0 or not found:
        return None
    # Java 8 and before say 1.8.
    return int(found[2]) if found[1] == "1" and found[2] else int(found[1])
