"""Servers that behave as told, on real sockets: one that never answers, and one that gives a fixed answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield int(server.getsockname()[1])


class _Answering(ThreadingHTTPServer):
    # With http.server's 5, one of a dozen callers at once is dropped by the kernel and tries again only a second later.
    request_queue_size = 64


@contextmanager
def answering_server(status: int = 200, body: bytes = b"OK", port: int = 0) -> Iterator[int]:
    """The port of an HTTP server that answers every GET so."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    with _Answering(("127.0.0.1", port), Answer) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
