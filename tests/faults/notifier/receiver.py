"""A receiver that takes everything and knows what it got: how often, and from which process of the notifier."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.support.processes import free_port

CHAT = "/chat"
SIGNED = "/signed"


def _counters() -> defaultdict[str, Counter[int]]:
    return defaultdict(Counter)


@dataclass
class Alerts:
    """`ids` counts requests by webhook-id and by the number of the process that sent them, `messages` those to a chat
    by Idempotency-Key; `events` are the webhook-ids of each alert, `signed` what came to be verified."""

    url: str = ""
    process: int = 0
    ids: defaultdict[str, Counter[int]] = field(default_factory=_counters)
    messages: defaultdict[str, Counter[int]] = field(default_factory=_counters)
    events: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    signed: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """Answer OPTIONS with consent, POST with what its channel takes for success."""
        if request.method == "OPTIONS":
            return web.Response(headers={"WebHook-Allowed-Origin": "*"})
        if request.path == CHAT:
            self.messages[request.headers["Idempotency-Key"]][self.process] += 1
            return web.Response(text="ok")
        if request.path == SIGNED:
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.signed.append((headers, await request.read()))
        webhook_id = request.headers["webhook-id"]
        self.ids[webhook_id][self.process] += 1
        self.events[(await request.json())["id"]].add(webhook_id)
        return web.Response(status=204)

    @property
    def repeated(self) -> int:
        """How many ids came more than once."""
        return sum(times.total() > 1 for times in (*self.ids.values(), *self.messages.values()))

    def judge(self) -> None:
        """Fail where an alert came under two ids, or an id twice from one process: only being killed excuses a repeat,
        and that once."""
        under_two = {event: ids for event, ids in self.events.items() if len(ids) > 1}
        assert not under_two, f"came under several webhook-ids: {under_two}"
        again = {id_: times for id_, times in (*self.ids.items(), *self.messages.items()) if max(times.values()) > 1}
        assert not again, f"came twice from one process: {again}"


@asynccontextmanager
async def serving(alerts: Alerts) -> AsyncIterator[str]:
    """The receiver on a port of its own; its address."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", alerts.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
