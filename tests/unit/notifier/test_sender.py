"""How many calls a target may have at once, and when the sender looks again. The ledger's SQL is tried elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from datalab.runtime.clock import SystemClock
from schemas.envelope import Event
from services.notifier.delivery import Delivery, Result, Target
from services.notifier.ledger import Ledger
from services.notifier.retries import Attempted
from services.notifier.sender import Pace, Sender
from services.notifier.targets import Targets
from tests.support.polling import eventually

EVENT = Event(id="e", source="t", type="lab.run.failed.v1", time=datetime(2026, 11, 28, tzinfo=UTC))


def delivery(number: int, target: str) -> Delivery:
    return Delivery(f"{target}-{number}", EVENT, "webhook", target, target, None, 1, 1)


@dataclass
class ScriptedLedger:
    """Gives out what is asked for as the statement does: of each target its share less what is under way."""

    waiting: dict[str, list[Delivery]]
    lease_s: float = 30.0
    loads: list[Mapping[str, tuple[int, int]]] = field(default_factory=list)
    recorded: list[Attempted] = field(default_factory=list)

    async def claim(self, places: int, per_target: int, load: Mapping[str, tuple[int, int]]) -> list[Delivery]:
        self.loads.append(load)
        claimed: list[Delivery] = []
        for key, deliveries in self.waiting.items():
            under_way, share = load.get(key, (0, per_target))
            count = max(0, min(share - under_way, places - len(claimed)))
            claimed += deliveries[:count]
            del deliveries[:count]
        return claimed

    async def record(self, attempted: Sequence[Attempted]) -> set[str]:
        self.recorded += attempted
        return {one.delivery.id for one in attempted}


class Receivers:
    """`hangs` never answers; the others do at once."""

    def __init__(self) -> None:
        self.now: dict[str, int] = {}
        self.most: dict[str, int] = {}

    async def find(self, deliveries: Sequence[Delivery]) -> list[Target]:
        return [Target(one.target, "webhook", "https://x.example") for one in deliveries]

    async def send(self, sent: Delivery, _target: Target) -> Result:
        self.now[sent.target] = self.now.get(sent.target, 0) + 1
        self.most[sent.target] = max(self.most.get(sent.target, 0), self.now[sent.target])
        try:
            if sent.target == "hangs":
                await asyncio.Event().wait()
            await asyncio.sleep(0)
        finally:
            self.now[sent.target] -= 1
        return Result(True, status_code=204)


async def run_until_recorded(ledger: ScriptedLedger, receivers: Receivers, count: int, *, slots: int = 40) -> int:
    """Returns how often other instances were called."""
    pace = Pace(slots=slots, per_target=4, deadline_s=0.1, poll_s=30.0, schedule_s=[60.0])
    fake: Any = ledger
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        raise ConnectionError("nobody can be called")  # which must do no harm

    sender = Sender(
        cast("Ledger", fake),
        cast("Targets", receivers),
        {"webhook": receivers},
        pace,
        SystemClock(),
        asyncio.Event(),
        call,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(sender.run(stop))

    async def recorded() -> int:
        return len(ledger.recorded)

    try:
        await eventually(recorded, until=lambda done: done >= count)
    finally:
        stop.set()
        await running
    return calls


async def test_a_target_that_answers_at_once_gets_more_and_all_without_waiting_for_the_clock() -> None:
    ledger, receivers = ScriptedLedger({"quick": [delivery(n, "quick") for n in range(300)]}), Receivers()
    await run_until_recorded(ledger, receivers, 300)
    assert 4 < receivers.most["quick"] <= 16
    assert ledger.loads[0] == {}
    assert all(share == 16 for load in ledger.loads[2:] for _, share in load.values())


async def test_one_that_hangs_keeps_a_single_place_and_the_others_get_theirs() -> None:
    ledger, receivers = (
        ScriptedLedger({key: [delivery(n, key) for n in range(30)] for key in ("hangs", "a", "b")}),
        Receivers(),
    )
    await run_until_recorded(ledger, receivers, 60 + 6)
    shares = [load["hangs"][1] for load in ledger.loads if "hangs" in load]
    assert shares[0] == 4
    assert shares[-1] == 1
    assert receivers.most["hangs"] == 4, "before anybody knew"
    outcomes = {one.delivery.target: one.outcome for one in ledger.recorded}
    assert outcomes == {"hangs": "retry", "a": "delivered", "b": "delivered"}


async def test_others_are_called_only_where_more_is_due_than_can_be_sent() -> None:
    few = ScriptedLedger({"a": [delivery(n, "a") for n in range(3)]})
    assert await run_until_recorded(few, Receivers(), 3) == 0
    many = ScriptedLedger({f"t{n}": [delivery(n, f"t{n}")] for n in range(30)})
    assert await run_until_recorded(many, Receivers(), 30, slots=5) >= 6
