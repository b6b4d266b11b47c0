"""What the tests of the notifier run against: its own processes, the real inbox, and a receiver that misbehaves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
from aiohttp import web
from aiokafka import AIOKafkaConsumer, TopicPartition

from datalab.bus.inspection import inspect_bus
from datalab.bus.publisher import Publisher
from schemas.alerts import AlertFiring, AlertResolved
from schemas.envelope import Event
from tests.support.processes import free_port

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[3]
SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" + "MfKQ9r8GKYo="


def until(condition: Callable[[], T], *, seconds: float = 60.0, what: str = "the condition") -> T:
    """Poll until the condition is true and return its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true within {seconds:g} s")


@dataclass
class Process:
    """A running process of ours with its HTTP address."""

    popen: subprocess.Popen[bytes]
    url: str
    log: Path

    def get(self, path: str, **params: Any) -> Any:
        answer = httpx.get(self.url + path, params=params, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()


@contextmanager
def process(module: str, port: int, env: dict[str, str], log: Path) -> Iterator[Process]:
    """Run a module until the block ends, from when it is ready."""
    base = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR"}}
    environ = {**base, **env, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with log.open("ab") as stream:
        popen = subprocess.Popen([sys.executable, "-m", module], env=environ, stdout=stream, stderr=stream, cwd=ROOT)
    started = Process(popen, f"http://127.0.0.1:{port}", log)
    try:
        until(lambda: ready(started), seconds=120, what=f"{module} ready")
        yield started
    finally:
        popen.terminate()
        try:
            popen.wait(15)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


def ready(started: Process) -> bool:
    if started.popen.poll() is not None:
        raise AssertionError(f"the process ended: {started.log.read_text()[-3000:]}")
    try:
        return httpx.get(f"{started.url}/readyz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@dataclass
class Received:
    """One request at the scripted receiver."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An endpoint that answers as told: per path a list of statuses, the last one repeated; None hangs. `slow` has the
    seconds that an answer takes, `at_once` what is done as soon as the first request is there, before any answer."""

    url: str
    script: dict[str, list[int | None]] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    at_once: dict[str, Callable[[], None]] = field(default_factory=dict)
    requests: list[Received] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    agrees_to: str = "*"
    allowed_rate: str = "*"
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    held: Counter[str] = field(default_factory=Counter)
    peaks: Counter[str] = field(default_factory=Counter)

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "OPTIONS":
            agreement = {"WebHook-Allowed-Origin": self.agrees_to, "WebHook-Allowed-Rate": self.allowed_rate}
            return web.Response(headers=agreement)
        self.requests.append(Received(request.path, dict(request.headers), await request.read()))
        self.at_once.pop(request.path, lambda: None)()
        await asyncio.sleep(self.slow.get(request.path, 0))
        steps = self.script.get(request.path, [200])
        status = steps.pop(0) if len(steps) > 1 else steps[0]
        if status is None:
            await self.hang(request.path)
        # It gives back all it knows, the address included, as careless receivers do.
        text = f"{self.requests[-1].body.decode()} {request.url}" if request.path.startswith("/echo") else "as told"
        return web.Response(status=status or 200, text=text, headers=self.headers)

    async def hang(self, path: str) -> None:
        """Hold the request until its client gives up; `peaks` keeps how many were held at once."""
        self.held[path] += 1
        self.peaks[path] = max(self.peaks[path], self.held[path])
        try:
            await self.closing.wait()
        finally:
            self.held[path] -= 1

    def at(self, path: str) -> list[Received]:
        return [request for request in self.requests if request.path == path]


@contextmanager
def scripted_receiver() -> Iterator[Receiver]:
    """The receiver on a loop of its own thread."""
    import threading

    port = free_port()
    receiver = Receiver(f"http://127.0.0.1:{port}")
    loop = asyncio.new_event_loop()
    up = threading.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", receiver.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        up.set()
        await receiver.closing.wait()
        await asyncio.sleep(0)
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert up.wait(60)
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(receiver.closing.set)
        thread.join(5)


async def begin_at_the_end(bootstrap: str, group: str) -> None:
    """Have a new group begin after what is there now: events of other modules are not this one's, and their alerts
    would take the turns of its own."""
    topics = (await inspect_bus(bootstrap)).topics
    ends = {TopicPartition(name, part.number): part.end for name, view in topics.items() for part in view.partitions}
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(list(ends))
        await consumer.commit(ends)
    finally:
        await consumer.stop()


def publish(bootstrap: str, *events: Event) -> None:
    """Publish events and wait for the broker."""

    async def send() -> None:
        async with Publisher(bootstrap, "test") as publisher:
            await publisher.publish_many(events)

    asyncio.run(send())


def alert(fingerprint: str, *, resolved: bool = False, **more: Any) -> AlertFiring | AlertResolved:
    """An alert about a quality gate, as the monitor sends it."""
    values: dict[str, Any] = {
        "fingerprint": fingerprint,
        "episode": f"{fingerprint}-1",
        "rule": "quality-gate-failed",
        "severity": "error",
        "summary": f"Quality gate failed for stocks <{fingerprint}>",
        "description": "37 of 12,154 rows broke the rule close > 0 & were quarantined.",
        "labels": {"dataset": "stocks", "flow": "medallion-etl"},
        "annotations": {"Run": "http://127.0.0.1:4200/runs/flow-run/1"},
        "starts_at": "2026-11-24T02:00:00Z",
        **more,
    }
    if resolved:
        return AlertResolved(**values, ends_at="2026-11-24T02:14:05Z")
    return AlertFiring(**values)
