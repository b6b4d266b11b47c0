"""Having the locked jars on this machine: looks, fetches what is missing or damaged, verifies. Starts nothing.

A jar appears in the cache only whole and verified, so an interrupted fetch goes on with the jars still missing, and
once all are there no network is used.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from datalab.local.jar_lock import Jar, JarSet, read_lock
from datalab.local.layout import cache_dir

# Puts one jar below the given folder and returns its path. The int it may call back with counts received bytes.
Download = Callable[[Jar, Path, Callable[[int], None]], Path]
_THREADS = 8
_ATTEMPTS = 4


class JarFetchError(RuntimeError):
    """A jar could not be had, or what arrived is not what the lock says. The message says which and what to do."""


@dataclass(frozen=True)
class Progress:
    """How far a fetch is. Called from several threads, never at once for the same jar."""

    started: Callable[[Sequence[Jar]], None]
    received: Callable[[int], None]
    finished: Callable[[Jar], None]

    @classmethod
    def silent(cls) -> Progress:
        return cls(lambda _: None, lambda _: None, lambda _: None)


class JarCache:
    """The folder of verified jars, shared by all labs of this user."""

    def __init__(self, root: Path | None = None, jars: Sequence[Jar] | None = None) -> None:
        self.root = root or cache_dir() / "jars"
        self.jars = list(read_lock() if jars is None else jars)

    def path(self, jar: Jar) -> Path:
        return self.root / jar.set / jar.file_name

    def paths(self, jar_set: JarSet) -> list[Path]:
        """Every jar of a set, in the order of the lock."""
        return [self.path(jar) for jar in self.jars if jar.set == jar_set]

    def class_path(self, jar_set: JarSet) -> str:
        return os.pathsep.join(map(str, self.paths(jar_set)))

    def missing(self) -> list[Jar]:
        """The jars that are absent, short or changed."""
        return [jar for jar in self.jars if not jar.intact(self.path(jar))]

    def fetch(self, progress: Progress | None = None, download: Download | None = None) -> list[Jar]:
        """Make every locked jar present and intact; returns those that had to be fetched.

        Only one process fetches at a time; the others wait and find the work done. Raises JarFetchError.
        """
        if not self.missing():
            return []
        with self._alone():
            wanted = self.missing()
            staging = self.root / ".partial"
            shutil.rmtree(staging, ignore_errors=True)
            try:
                self._fetch_all(wanted, staging, progress or Progress.silent(), download or download_with_jgo)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        return wanted

    def _fetch_all(self, wanted: Sequence[Jar], staging: Path, progress: Progress, download: Download) -> None:
        progress.started(wanted)
        with ThreadPoolExecutor(_THREADS) as threads:
            tasks = {threads.submit(self._fetch, jar, staging, progress, download): jar for jar in wanted}
            try:
                for task in as_completed(tasks):
                    task.result()
                    progress.finished(tasks[task])
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _fetch(self, jar: Jar, staging: Path, progress: Progress, download: Download) -> None:
        reason = ""
        for attempt in range(_ATTEMPTS):
            folder = staging / f"{jar.file_name}.{attempt}"
            try:
                arrived = download(jar, folder, progress.received)
            except Exception as error:
                # jgo lets through whatever its HTTP client raises.
                reason = f"{type(error).__name__}: {error}"[:200]
            else:
                if jar.intact(arrived):
                    self.path(jar).parent.mkdir(parents=True, exist_ok=True)
                    arrived.replace(self.path(jar))
                    return
                reason = f"it arrived damaged ({arrived.stat().st_size} of {jar.size} bytes, or another checksum)"
            time.sleep(0.5 * 2**attempt if attempt < _ATTEMPTS - 1 else 0)
        raise JarFetchError(f"cannot fetch {jar.file_name}: {reason}. Check the network, then run: datalab fetch")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def download_with_jgo(jar: Jar, folder: Path, received: Callable[[int], None]) -> Path:
    """One jar from jgo's default repository, into a Maven layout below `folder`."""
    from jgo.maven import MavenContext, PythonResolver

    @contextmanager
    def count(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield received

    context = MavenContext(resolver=PythonResolver(progress_callback=count), repo_cache=folder, timeout=60)
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    return Path(artifact.resolve())
