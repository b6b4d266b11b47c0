"""A run whose server is being restarted when it starts waits for it, instead of crashing with its first request."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from tests.support.processes import free_port

ASK = """
from datalab.worker.child import outlast_the_server
from prefect.client.orchestration import get_client
{patience}
with get_client(sync_client=True) as client:
    print(client.hello().status_code)
"""


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


def ask(port: int, patience: str) -> subprocess.Popen[str]:
    environment = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false"}
    return subprocess.Popen(
        [sys.executable, "-c", ASK.format(patience=patience)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_the_first_request_waits_for_a_server_that_comes_back() -> None:
    port = free_port()
    patient, hasty = ask(port, "outlast_the_server()"), ask(port, "")
    said = hasty.communicate(timeout=60)
    assert hasty.returncode != 0
    assert "ConnectError" in said[1]
    assert patient.poll() is None

    server = HTTPServer(("127.0.0.1", port), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    began = time.monotonic()
    printed, complaint = patient.communicate(timeout=60)
    server.shutdown()
    assert (patient.returncode, printed.strip()) == (0, "200"), (complaint, time.monotonic() - began)
