"""The bridge is killed at each step of its work, one after the other: one run each, in order, told once.

All cases, with more of everything, are in `make faults-bridge`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.faults.bridge.books import Books
from tests.faults.bridge.cases import case, kill_once
from tests.faults.bridge.parts import parts
from tests.faults.bridge.steps import STEPS
from tests.faults.bridge.waiting import limited, windows

_EVENTS = 120
_FEW = 42


async def test_killed_at_each_step_every_event_has_its_one_run(
    kafka_bootstrap: str, database_url: str, prefect_api_url: str, tmp_path: Path
) -> None:
    chance = random.Random(7)
    async with (
        parts(kafka_bootstrap, database_url, prefect_api_url, tmp_path) as lab,
        case("killed at each step", lab, _EVENTS, chance) as run,
    ):
        await run.begin()
        await run.bridges.start()
        for number, step in enumerate(STEPS):
            await kill_once(run, step, share=1 / (len(STEPS) + 1 - number))
        books = await run.books()
    assert books.faults() == []
    assert (books.runs, books.told) == (_EVENTS, _EVENTS)
    assert books.repeats > 0


@pytest.mark.parametrize("wait", [windows, limited])
async def test_killed_while_triggers_wait_every_event_is_in_one_run(
    wait: Callable[..., Awaitable[Books]], kafka_bootstrap: str, database_url: str, prefect_api_url: str, tmp_path: Path
) -> None:
    async with parts(kafka_bootstrap, database_url, prefect_api_url, tmp_path) as lab:
        books = await wait(lab, _FEW, random.Random(7), ["after fetch", "after create"])
    assert books.faults() == []
    assert (books.events, books.told) == (_FEW, _FEW)
