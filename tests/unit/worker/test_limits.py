from __future__ import annotations

import os
import uuid

import psutil

from datalab.worker.attempt import Attempt, Limits
from datalab.worker.usage import memory_by_session
from datalab.worker.warm_parent import Started

MIB = 1 << 20


def attempt(limits: Limits) -> Attempt:
    return Attempt(uuid.uuid4(), "brave-fox", Started(1), limits, None)


async def test_too_much_memory_is_said_once_with_both_figures() -> None:
    run = attempt(Limits(100 * MIB, None, 1))
    assert run.judge(100 * MIB) is None
    assert "used 150 MiB of memory; its limit is 100 MiB" in (run.judge(150 * MIB) or "")
    assert run.judge(200 * MIB) is None


async def test_too_much_time_is_said() -> None:
    assert "its limit is 0 s" in (attempt(Limits(MIB, 0.0, 1)).judge(0) or "")
    assert attempt(Limits(MIB, 60.0, 1)).judge(0) is None


async def test_a_cancelled_run_is_not_judged() -> None:
    run = attempt(Limits(1, None, 1))
    run.cancelled = True
    assert run.judge(MIB) is None


def test_without_a_limit_three_quarters_of_the_machine() -> None:
    assert Limits.of(None, None, 1).memory_bytes == psutil.virtual_memory().total * 3 // 4
    assert Limits.of(512, None, 1).memory_bytes == 512 * MIB


def test_the_memory_of_a_session_is_that_of_all_its_processes() -> None:
    session = os.getsid(0)
    assert memory_by_session({session})[session] >= psutil.Process().memory_info().rss * 0.5
    assert memory_by_session({2**22 - 7}) == {}
