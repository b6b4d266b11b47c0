"""One part's life: ready when it answers, started again when it dies or falls silent, given up if it never comes."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from datalab.local.backoff import Backoff
from datalab.local.jars import JarCache
from datalab.local.layout import LabLayout
from datalab.local.parts.base import Command, Lab, Part, PartError
from datalab.local.runner import MAX_START_DEATHS, PartFailedError, PartRunner
from datalab.local.state import PartStatus


class ShellPart(Part):
    """Runs a line of shell; ready and healthy as `says` decides."""

    def __init__(self, script: str, *, one_shot: bool = False, says: Callable[[], str | None] = lambda: None) -> None:
        self.name = "shell"
        self.one_shot = one_shot
        self.stop_seconds = 0.3
        self._script = script
        self._says = says

    def command(self, lab: Lab) -> Command:
        return Command(["/bin/sh", "-c", self._script], cwd=lab.layout.home)

    async def ready(self, lab: Lab) -> str | None:
        return self._says()


class Unpreparable(ShellPart):
    async def prepare(self, lab: Lab) -> None:
        raise PartError("the disk is full")


def runner(part: Part, home: Path) -> PartRunner:
    layout = LabLayout.at(home)
    layout.create()
    lab = Lab(layout, {}, {"PATH": "/usr/bin:/bin"}, "", JarCache(home / "jars", []))
    return PartRunner(part, lab, PartStatus(part.name), lambda: None, Backoff(first=0.01, limit=0.02))


async def until(condition: Callable[[], object], task: asyncio.Task[None], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        if task.done():
            task.result()
        await asyncio.sleep(0.01)


async def finish(life: asyncio.Task[None], keeper: PartRunner) -> None:
    life.cancel()
    await asyncio.gather(life, return_exceptions=True)
    await keeper.stop()


async def test_a_part_is_ready_only_when_it_answers(tmp_path: Path) -> None:
    answer: list[str | None] = ["not listening yet"]
    keeper = runner(ShellPart("exec sleep 60", says=lambda: answer[0]), tmp_path)
    life = asyncio.create_task(keeper.run([]))
    await until(lambda: keeper.status.reason == "not listening yet", life)
    assert not keeper.was_ready.is_set()

    answer[0] = None
    await until(keeper.was_ready.is_set, life)
    assert (keeper.status.state, keeper.status.reason) == ("ready", None)
    await finish(life, keeper)
    assert (keeper.status.state, keeper.status.pid) == ("stopped", None)


async def test_a_part_waits_for_what_it_needs(tmp_path: Path) -> None:
    keeper, need = runner(ShellPart("true", one_shot=True), tmp_path), asyncio.Event()
    life = asyncio.create_task(keeper.run([need]))
    await asyncio.sleep(0.05)
    assert keeper.status.state == "waiting"

    need.set()
    await asyncio.wait_for(life, 10)
    assert keeper.status.state == "done"


async def test_a_part_that_never_comes_up_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    keeper = runner(ShellPart("echo starting; echo no licence; exit 3", says=lambda: "not listening yet"), tmp_path)

    with pytest.raises(PartFailedError, match="exit code 3") as caught:
        await asyncio.wait_for(keeper.run([]), 20)

    assert caught.value.log_tail == ["starting", "no licence"], "of the last start only"
    assert keeper.status.state == "failed"
    assert keeper.status.restarts == MAX_START_DEATHS - 1


@pytest.mark.parametrize(
    "part", [ShellPart("exit 1", one_shot=True), Unpreparable("sleep 60")], ids=["step", "prepare"]
)
async def test_a_step_that_keeps_failing_is_given_up(tmp_path: Path, part: Part) -> None:
    with pytest.raises(PartFailedError):
        await asyncio.wait_for(runner(part, tmp_path).run([]), 20)


async def test_a_part_that_dies_after_it_was_ready_is_started_again_for_ever(tmp_path: Path) -> None:
    keeper = runner(ShellPart("exec sleep 0.05"), tmp_path)
    life = asyncio.create_task(keeper.run([]))

    await until(lambda: keeper.status.restarts > MAX_START_DEATHS + 1, life, seconds=20)

    assert not life.done()
    await finish(life, keeper)


async def test_a_part_that_is_alive_but_silent_is_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datalab.local.runner._WATCHING_PROBE", 0.05)
    answers: Sequence[str | None] = [None]
    part = ShellPart("exec sleep 60", says=lambda: answers[0])
    part.unhealthy_seconds = 0.2
    keeper = runner(part, tmp_path)
    life = asyncio.create_task(keeper.run([]))
    await until(keeper.was_ready.is_set, life)
    before = keeper.status.pid

    answers = ["gRPC UNAVAILABLE"]
    await until(lambda: keeper.status.state == "unhealthy", life)
    await until(lambda: keeper.status.restarts == 1, life)
    answers = [None]
    await until(lambda: keeper.status.state == "ready" and keeper.status.pid != before, life)
    await finish(life, keeper)


async def test_a_restarted_part_that_lives_and_never_answers_is_restarted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datalab.local.runner._WATCHING_PROBE", 0.05)
    answers: Sequence[str | None] = [None]
    part = ShellPart("exec sleep 60", says=lambda: answers[0])
    part.unhealthy_seconds = 0.2
    keeper = runner(part, tmp_path)
    life = asyncio.create_task(keeper.run([]))
    await until(keeper.was_ready.is_set, life)

    answers = ["its port is taken"]
    await until(lambda: keeper.status.restarts >= 3, life)
    answers = [None]
    await until(lambda: keeper.status.state == "ready", life)
    await finish(life, keeper)


async def test_a_process_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    started = tmp_path / "started"
    script = f"trap '' TERM; touch {started}; while :; do sleep 0.1; done"
    keeper = runner(ShellPart(script, says=lambda: None if started.exists() else "starting"), tmp_path)
    life = asyncio.create_task(keeper.run([]))
    await until(keeper.was_ready.is_set, life)

    await finish(life, keeper)

    assert keeper.status.reason == "it did not end by itself and was killed"
    assert keeper.part.stop_signal == signal.SIGTERM


async def test_a_program_that_cannot_be_run_is_a_failed_part_not_a_crash(tmp_path: Path) -> None:
    class Missing(ShellPart):
        def command(self, lab: Lab) -> Command:
            return Command(["/no/such/program"], cwd=lab.layout.home)

    with pytest.raises(PartFailedError, match="No such file"):
        await asyncio.wait_for(runner(Missing(""), tmp_path).run([]), 20)
