"""Receivers that answer everything but what one hopes for: what the ledger says at the end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from schemas.envelope import new_event
from schemas.services import ServiceDegraded
from tests.faults.notifier.answers import (
    Answer,
    drip,
    drip_body,
    gigabyte,
    hang,
    head,
    later,
    promise_more,
    reset,
    rubbish,
    send_more,
    status,
)
from tests.faults.notifier.lab import FaultLab
from tests.faults.notifier.toll import Toll, Tolls
from tests.support.polling import eventually
from tests.support.processes import free_port


class Case(NamedTuple):
    """What a receiver does, one answer after the other, the last one for good; and what the ledger must say."""

    answers: Sequence[Answer]
    status: str
    attempts: int
    reason: str | None = None
    waits_s: float = 0.0  # at least so long between the first two requests


OK = status(200)
CASES: dict[str, Case] = {
    "200": Case([OK], "delivered", 1),
    "204": Case([status(204)], "delivered", 1),
    "301": Case([status(301, "Location: http://169.254.169.254/")], "dead", 1, "redirects are not followed"),
    "400": Case([status(400)], "dead", 1, "HTTP 400"),
    "401": Case([status(401)], "dead", 1, "HTTP 401"),
    "404": Case([status(404)], "dead", 1, "HTTP 404"),
    "410": Case([status(410)], "dead", 1, "HTTP 410"),
    "413": Case([status(413)], "dead", 1, "HTTP 413"),
    "429-seconds": Case([status(429, "Retry-After: 2"), OK], "delivered", 2, waits_s=1.9),
    "429-date": Case([later, OK], "delivered", 2, waits_s=1.5),
    "500": Case([status(500), OK], "delivered", 2),
    "503": Case([status(503), status(503, "Retry-After: 1"), OK], "delivered", 3),
    "503-for-good": Case([status(503)], "dead", 6, "gave up after 6 attempts: HTTP 503"),
    "hang": Case([hang, OK], "delivered", 2),
    "drip": Case([drip, OK], "delivered", 2),
    "drip-body": Case([drip_body], "delivered", 1),
    "reset": Case([reset, OK], "delivered", 2),
    "1-gb-body": Case([gigabyte], "delivered", 1),
    "promises-more": Case([promise_more], "delivered", 1),
    # What follows the body is no answer to anything: to aiohttp the whole connection speaks no HTTP.
    "sends-more": Case([send_more], "dead", 6, "connection broke"),
    "no-http": Case([rubbish, OK], "delivered", 2),
}


@dataclass
class Receiver:
    """One port for all cases; `ids` counts the requests of each by webhook-id, `at` their times."""

    port: int = field(default_factory=free_port)
    ids: dict[str, Counter[str]] = field(default_factory=dict)
    at: dict[str, list[float]] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request after the other, until the answer closes it."""
        try:
            while True:
                await self._one(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = request.split(" ", 2)
        headers = dict(line.lower().split(": ", 1) for line in request.split("\r\n")[1:] if line)
        await reader.readexactly(int(headers.get("content-length", 0)))
        if method == "OPTIONS":
            writer.write(head(200, "WebHook-Allowed-Origin: *"))
            return
        name = path.strip("/")
        seen = self.ids.setdefault(name, Counter())
        answers = CASES[name].answers
        answer = answers[min(seen.total(), len(answers) - 1)]
        seen[headers["webhook-id"]] += 1
        self.at.setdefault(name, []).append(time.monotonic())
        await answer(writer)
        if answer in (rubbish, promise_more, send_more, drip):
            raise ConnectionResetError


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """The receiver on its port."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", receiver.port)
    try:
        yield receiver
    finally:
        server.close()


async def odd_answers(lab: FaultLab) -> Tolls:
    """One event to all of the receivers at once; each ends as its case says."""
    async with receiving() as receiver:
        allowed = f"{lab.settings['NOTIFIER_ALLOWED_HOSTS']},127.0.0.1:{receiver.port}"
        async with lab.ready(NOTIFIER_ALLOWED_HOSTS=allowed) as process:
            made = {
                name: await lab.subscribe(f"http://127.0.0.1:{receiver.port}/{name}", [ServiceDegraded.type])
                for name in CASES
            }
            event = new_event(
                ServiceDegraded(service="faults", check="answers", reason="they are odd", since=datetime.now(UTC)),
                source="faults",
            )
            await lab.publisher.publish(event)
            rows = await _ended(lab, event.id)
            peak_mb = _peak_mb(process.pid)
        tolls = {
            f"a receiver answers: {name}": _judge(name, rows[subscription["id"]], receiver)
            for name, subscription in made.items()
        }
        assert peak_mb < 400, f"the notifier took {peak_mb} MB; a body of 1 GB must not be read"
        disabled = await lab.sql("SELECT name FROM notifier_subscriptions WHERE NOT active")
        assert [row["name"] for row in disabled] == [made["410"]["name"]]
    slim = tolls["a receiver answers: 1-gb-body"]
    return tolls | {"a receiver answers: 1-gb-body": slim._replace(seen=f"{slim.seen}; {peak_mb} MB of memory at most")}


def _peak_mb(pid: int) -> int:
    status_ = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(status_.split("VmHWM:")[1].split()[0]) // 1024


async def _ended(lab: FaultLab, event_id: str) -> dict[str, dict[str, object]]:
    async def rows() -> dict[str, dict[str, object]]:
        found = await lab.sql(
            "SELECT subscription_id, status, attempts, reason FROM notifier_deliveries WHERE event_id = $1", event_id
        )
        return {row["subscription_id"]: dict(row) for row in found if row["status"] != "pending"}

    return await eventually(rows, until=lambda ended: len(ended) == len(CASES), within_s=120)


def _judge(name: str, row: dict[str, object], receiver: Receiver) -> Toll:
    case, times = CASES[name], receiver.at[name]
    assert (row["status"], row["attempts"]) == (case.status, case.attempts), f"{name}: {row}"
    assert case.reason is None or case.reason in str(row["reason"]), f"{name}: {row}"
    assert len(receiver.ids[name]) == 1, f"{name}: came under {receiver.ids[name]}"
    assert len(times) == case.attempts, f"{name}: came {len(times)} times"
    if case.waits_s:
        assert times[1] - times[0] >= case.waits_s, f"{name}: came again after {times[1] - times[0]:.1f} s"
    return Toll(1, 0, 0, 0, f"{row['status']}, {_times(case.attempts)}")


def _times(attempts: int) -> str:
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"
