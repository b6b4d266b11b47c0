"""The dashboard as a process: it starts without any service, ends when told to, and refuses a port that is taken."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import httpx

from tests.support.processes import free_port, service


def until_healthy(port: int, log: Path, within_s: float = 90) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/_stcore/health", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)  # looking again, with a deadline


def test_it_starts_alone_on_this_machine_only_and_stops_in_order(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "dashboard.log"
    nowhere = dict.fromkeys(("BRIDGE_URL", "MONITOR_URL", "NOTIFIER_URL"), "http://127.0.0.1:9")
    with service("services.dashboard", {"DASHBOARD_PORT": str(port), **nowhere}, log) as process:
        until_healthy(port, log)
        assert listening_addresses(port) == {"127.0.0.1"}
        page = httpx.get(f"http://127.0.0.1:{port}/event-trace", timeout=60, trust_env=False)
        assert page.status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert "service.stopped" in log.read_text()


def listening_addresses(port: int) -> set[str]:
    import psutil

    return {
        c.laddr.ip for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port
    }


def test_a_taken_port_is_an_error_and_no_other_port_is_taken(tmp_path: Path) -> None:
    log = tmp_path / "dashboard.log"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with service("services.dashboard", {"DASHBOARD_PORT": str(port)}, log) as process:
            assert process.wait(120) == 1
    assert str(port) in log.read_text()
