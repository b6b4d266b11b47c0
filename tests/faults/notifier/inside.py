"""Addresses inside, in many spellings and by names that move: nobody is led there, whichever way they come in."""

from __future__ import annotations

import httpx

from datalab.runtime.clock import SystemClock
from services.notifier.guard import Guard
from services.notifier.outgoing import Outgoing
from tests.faults.notifier.lab import FaultLab
from tests.faults.notifier.toll import Toll, Tolls
from tests.support.inside_addresses import INSIDE, MOVES_TO, REFUSALS, names_that_move, trap


async def led_inside(lab: FaultLab) -> Tolls:
    """By the client itself, and by asking a running notifier for a subscription to each."""
    return {
        "addresses inside, by http and https": await _called(),
        "names that move inside after the check": await _moved(),
        "subscriptions to addresses inside": await _subscribed(lab),
    }


async def _called() -> Toll:
    async with trap() as (port, seen), Outgoing(Guard(), SystemClock()) as outgoing:
        for spelling in INSIDE:
            for scheme in ("http", "https"):
                result = await outgoing.post(f"{scheme}://{spelling}:{port}/hook", b"{}", {})
                assert not result.delivered, spelling
                assert (result.reason or "").startswith(REFUSALS), (spelling, result)
    assert seen == []
    return Toll(2 * len(INSIDE), 0, 0, 0, f"{len(INSIDE)} spellings; no connection")


async def _moved() -> Toll:
    for inside in MOVES_TO:
        guard = Guard()
        with names_that_move("93.184.216.34", inside) as left:
            await guard.check("https://moves.example/hook")
            async with Outgoing(guard, SystemClock()) as outgoing:
                result = await outgoing.post("https://moves.example/hook", b"{}", {})
        assert result.permanent, (inside, result)
        assert (result.reason or "").startswith("refused: "), (inside, result)
        assert left == []
    return Toll(len(MOVES_TO), 0, 0, 0, "refused")


async def _subscribed(lab: FaultLab) -> Toll:
    client = httpx.AsyncClient(base_url=lab.url, trust_env=False, timeout=30)
    async with lab.ready(), trap() as (port, seen), client:
        for number, spelling in enumerate(INSIDE):
            body = {"name": f"inside-{number}", "url": f"https://{spelling}:{port}/hook"}
            answer = await client.post("/v1/subscriptions", json=body)
            assert answer.status_code == 422, (spelling, answer.text)
            assert spelling not in answer.json()["detail"] or "@" not in spelling, "shows user and password"
    assert seen == []
    assert await lab.sql("SELECT 1 FROM notifier_subscriptions WHERE name LIKE 'inside-%'") == []
    return Toll(len(INSIDE), 0, 0, 0, "422 each, none is kept")
