"""Services of the lab as processes of their own, as the supervisor starts them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from datalab.local.ports import is_free

# Below the kernel's range for outgoing connections, so that none of them takes a port between its choice and its use
# (nor meets itself by calling it), and beside the range that labs choose from.
_PORTS = random.sample(range(10_000, 20_000), 10_000)


def free_port() -> int:
    """A port that nothing listens on now, and that this process is never given again."""
    while not is_free(port := _PORTS.pop()):
        pass
    return port


@contextmanager
def service(module: str, environ: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m MODULE`, killed at the end if it still runs then. Its output is appended to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module], env={**os.environ, **environ}, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


@contextmanager
def running_ingest(home: Path, environ: Mapping[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Ingest on a port of its own, ready; yields its address. `environ` names broker and database."""
    port, log = free_port(), home / "ingest.log"
    own = {"DATALAB_HOME": str(home), "INGEST_PORT": str(port)}
    with service("services.ingest", {**environ, **own}, log) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, log)
        yield url, process


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path, within_s: float = 90) -> None:
    """Return once `/readyz` answers 200; fails with the log's end if the process dies or takes too long."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} is not ready: {log.read_text()[-3000:]}")
