"""What the worker and a zygote say to each other: jobs down a socket with a file descriptor each, reports up a pipe.

A job is a length and then JSON, since parameters may be long; a report is one line of JSON.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True)
class Warmth:
    """What a zygote imports before it forks: `modules` by name, `entrypoints` as deployments write them."""

    modules: tuple[str, ...] = ()
    entrypoints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """A process to start. `environment` is all of it. Without `fork` a new interpreter is started.

    `entrypoint` is None where Prefect itself has to fetch the code. `command` replaces the engine's. `hooks` names a
    state, in lower case: then the flow is not run, but its hooks for that state.
    """

    key: str
    flow_run_id: str
    environment: Mapping[str, str]
    directory: str
    fork: bool
    entrypoint: str | None = None
    command: str | None = None
    hooks: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Ended:
    """How a process ended. `exit_code` is negative for a signal, None if nobody could learn it."""

    exit_code: int | None
    cpu_s: float | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Report:
    """A line from a zygote. `kind`: importing, ready, unsafe, started, refused, ended."""

    kind: str
    key: str = ""
    text: str = ""
    pid: int = 0
    ended: Ended | None = None
    files: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    troubles: Mapping[str, str] = field(default_factory=dict)

    def line(self) -> bytes:
        """The report as it is written to the pipe."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Report:
        """The reverse of `line`."""
        values: dict[str, Any] = json.loads(line)
        ended = values.pop("ended")
        files = {path: (float(mtime), int(size)) for path, (mtime, size) in values.pop("files").items()}
        return cls(**values, files=files, ended=Ended(**ended) if ended else None)


def send(control: socket.socket, message: Warmth | Job, descriptors: tuple[int, ...] = ()) -> None:
    """Send a message; blocks while the other side is busy, raises OSError when it is gone."""
    body = json.dumps(asdict(message)).encode()
    socket.send_fds(control, [_LENGTH.pack(len(body))], list(descriptors))
    control.sendall(body)


def receive_warmth(control: socket.socket) -> Warmth:
    """The first message of a zygote's life."""
    body, _ = _receive(control)
    values = json.loads(body)
    return Warmth(tuple(values["modules"]), tuple(values["entrypoints"]))


def receive_job(control: socket.socket) -> tuple[Job, int] | None:
    """The next job and the descriptor for its output; None when the worker has closed its end."""
    try:
        body, descriptors = _receive(control)
    except EOFError:
        return None
    return Job(**json.loads(body)), descriptors[0]


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    head, descriptors, _, _ = socket.recv_fds(control, _LENGTH.size, 1)
    if not head:
        raise EOFError
    head += _exactly(control, _LENGTH.size - len(head))
    return _exactly(control, _LENGTH.unpack(head)[0]), descriptors


def _exactly(control: socket.socket, size: int) -> bytes:
    chunks = []
    while size:
        chunk = control.recv(min(size, 1 << 16))
        if not chunk:
            raise EOFError
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)
