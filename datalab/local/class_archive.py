"""Archives of loaded Java classes (CDS), which halve the time and work of starting Kafka and Spark.

Made once by `datalab fetch`, from a short trial start; a lab without them only starts more slowly. Java itself refuses
an archive that does not fit its class path or version, and then goes on without.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from datalab.local.child import Child
from datalab.local.jar_lock import LOCK_FILE, sha256_of
from datalab.local.java import Java
from datalab.local.layout import LabLayout, cache_dir
from datalab.local.parts.base import Lab, Part
from datalab.local.ports import PortBook

_START_SECONDS, _WRITE_SECONDS = 120.0, 90.0


@dataclass(frozen=True)
class ClassArchives:
    """Where the archives of one installation lie. While `recording`, a part's JVM writes its archive as it ends."""

    folder: Path
    recording: bool = False

    @classmethod
    def of(cls, java: Java) -> ClassArchives:
        """Another Java, other jars or another installation have other archives."""
        facts = (str(java.executable), _java_release(java), sha256_of(LOCK_FILE), version("pyspark"), sys.prefix)
        return cls(cache_dir() / "classes" / hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16])

    def path(self, part: str) -> Path:
        return self.folder / f"{part}.jsa"

    def options(self, part: str) -> list[str]:
        """The JVM options for a part."""
        if self.recording:
            return [f"-XX:ArchiveClassesAtExit={self._new(part)}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]
        if self.path(part).exists():
            return [f"-XX:SharedArchiveFile={self.path(part)}", "-Xshare:auto", "-Xlog:cds=off"]
        return []

    async def record(self, part: Part, lab: Lab) -> bool:
        """Start the part once, ask it what its probe asks, end it, and keep what it wrote; False if it wrote nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._new(part.name).unlink(missing_ok=True)
        await part.prepare(lab)
        command = replace(lab, archives=replace(self, recording=True))
        trial = part.command(command)
        if trial is None:
            return False
        child = Child.start(part.name, trial, lab.env, lab.layout.log(part.name))
        try:
            await asyncio.wait_for(_answering(part, lab, child), _START_SECONDS)
        finally:
            code = await child.stop(signal.SIGTERM, _WRITE_SECONDS)
        if code == -signal.SIGKILL or not self._new(part.name).exists():
            return False
        self._new(part.name).replace(self.path(part.name))
        return True

    def _new(self, part: str) -> Path:
        return self.folder / f"{part}.jsa.new"


def record_missing(assemble: Callable[[LabLayout, PortBook], tuple[Lab, list[Part]]], told: Callable[[str], None]) -> None:
    """Make the archives that are missing. A failure is told and does no harm: the lab starts without."""
    home = Path(tempfile.mkdtemp(prefix="datalab-trial-"))
    layout, book = LabLayout.at(home), PortBook(home / "ports.json")
    try:
        layout.create()
        lab, parts = assemble(layout, book)
        archives = lab.archives
        for part in parts:
            if archives is None or archives.path(part.name).exists():
                continue
            told(f"Preparing the Java classes of {part.name}, once.")
            if not asyncio.run(archives.record(part, lab)):
                told(f"No archive of {part.name}'s classes was made; it starts a little more slowly without.")
    except (OSError, RuntimeError, TimeoutError) as error:
        told(f"No archive of Java classes was made ({type(error).__name__}); the lab starts a little more slowly without.")
    finally:
        book.release()
        shutil.rmtree(home, ignore_errors=True)


async def _answering(part: Part, lab: Lab, child: Child) -> None:
    while child.exit_code is None:
        with suppress(OSError):
            if await part.ready(lab) is None:
                return
        await asyncio.sleep(0.2)
    raise RuntimeError(f"{part.name} ended with exit code {child.exit_code}")


def _java_release(java: Java) -> str:
    with suppress(OSError):
        return (java.home / "release").read_text("utf-8", "replace")
    return str(java.major)
