"""Archives of loaded Java classes (CDS), which halve the work of starting Kafka and Spark.

`datalab fetch` makes them once, from a trial start under a supervisor; a lab without them only starts more slowly.
Java itself refuses an archive that does not fit its class path or version, and goes on without.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from datalab.local.jar_lock import LOCK_FILE, sha256_of
from datalab.local.java import Java
from datalab.local.layout import LabLayout, cache_dir

JVM_PARTS = ("kafka", "spark")
# Tells a supervisor that this is a trial start: each JVM writes its archive when it ends, and is given time for it.
RECORD = "DATALAB_RECORD_CLASSES"
RECORDING_STOP_SECONDS = 90.0
_TRIAL_SECONDS = 180.0


@dataclass(frozen=True)
class ClassArchives:
    """Where the archives of one installation lie, and the JVM options that use or write them."""

    folder: Path
    recording: bool = False

    @classmethod
    def of(cls, java: Java, environ: Mapping[str, str]) -> ClassArchives:
        """Another Java, other jars or another installation have other archives."""
        facts = (str(java.executable), _release(java), sha256_of(LOCK_FILE), version("pyspark"), sys.prefix)
        key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
        return cls(cache_dir() / "classes" / key, recording=bool(environ.get(RECORD)))

    def missing(self) -> list[str]:
        """The parts that have no archive."""
        return [part for part in JVM_PARTS if not self._kept(part).exists()]

    def options(self, part: str) -> list[str]:
        if self.recording:
            return [f"-XX:ArchiveClassesAtExit={self._new(part)}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]
        if self._kept(part).exists():
            return [f"-XX:SharedArchiveFile={self._kept(part)}", "-Xshare:auto", "-Xlog:cds=off"]
        return []

    def prepare(self) -> None:
        """Make room for new archives."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for part in JVM_PARTS:
            self._new(part).unlink(missing_ok=True)

    def keep(self, parts: Sequence[str]) -> None:
        """Take over what the JVMs of these parts wrote whole."""
        for part in parts:
            with suppress(FileNotFoundError):
                self._new(part).replace(self._kept(part))

    def _kept(self, part: str) -> Path:
        return self.folder / f"{part}.jsa"

    def _new(self, part: str) -> Path:
        return self.folder / f"{part}.jsa.new"


def record_missing(java: Java, told: Callable[[str], None]) -> None:
    """Make the archives if any is missing. A failure is told and does no harm."""
    from datalab.local.control import LabFailedError, start_in_background, stop, wait_until_ready
    from datalab.local.state import LabState

    archives = ClassArchives.of(java, {})
    if not archives.missing():
        return
    told("Preparing the Java classes of Kafka and Spark, once (about 20 s).")
    home = Path(tempfile.mkdtemp(prefix="datalab-trial-"))
    layout = LabLayout.at(home)
    archives.prepare()
    trial = start_in_background(layout, JVM_PARTS, environ=_trial_environment(), tied_to_us=True)
    try:
        wait_until_ready(layout, trial, seconds=_TRIAL_SECONDS)
        stop(layout, 2 * RECORDING_STOP_SECONDS)
        state = LabState.load(layout)
        archives.keep([part for part in JVM_PARTS if state and state.parts[part].reason is None])
    except (LabFailedError, TimeoutError, OSError) as error:
        told(f"No archive was made ({type(error).__name__}); the lab starts a little more slowly without.")
    finally:
        stop(layout)
        trial.communicate()
        shutil.rmtree(home, ignore_errors=True)


def _trial_environment() -> dict[str, str]:
    # Away from the usual ports, so that a lab beside it is not moved.
    names = ("KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "SPARK_PORT")
    ports = {name: str(random.randrange(20_000, 30_000)) for name in names}  # noqa: S311 - a port is no secret
    return {**os.environ, RECORD: "1", **ports}


def _release(java: Java) -> str:
    with suppress(OSError):
        return (java.home / "release").read_text("utf-8", "replace")
    return str(java.major)
