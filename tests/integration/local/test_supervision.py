"""The supervisor with real parts: it keeps them alive, tells the truth about them, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from datalab.bus.topics import broker_ready
from datalab.local.control import LabFailedError, running, start_in_background, stop, wait_until_ready
from datalab.local.databases import answers, create_missing, with_database
from datalab.local.layout import LabLayout
from datalab.local.marked import find_marked
from datalab.local.parts.postgres import embedded_url
from datalab.local.report import report
from datalab.local.state import LabState
from tests.support.polling import wait_for

PARTS = ["kafka", "postgres"]


def settings(**values: str) -> dict[str, str]:
    """An environment with ports away from the usual ones."""
    inherited = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    ports = {name: str(random.randrange(20_000, 30_000)) for name in ("KAFKA_PORT", "KAFKA_CONTROLLER_PORT")}
    return {**inherited, **ports, **values}


@contextmanager
def lab(home: Path, parts: list[str] | None = None, **values: str) -> Iterator[tuple[LabLayout, LabState]]:
    layout = LabLayout.at(home)
    supervisor = start_in_background(layout, parts or PARTS, environ=settings(**values), tied_to_us=True)
    try:
        yield layout, wait_until_ready(layout, supervisor, seconds=180)
    finally:
        stop(layout)
        supervisor.communicate(timeout=30)


def bootstrap(state: LabState) -> str:
    return f"127.0.0.1:{state.parts['kafka'].ports['kafka']}"


def pid_of(layout: LabLayout, part: str) -> int | None:
    state = running(layout)
    return state.parts[part].pid if state and state.parts[part].state == "ready" else None


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if _status(pid) not in (None, psutil.STATUS_ZOMBIE)]


def _status(pid: int) -> str | None:
    """None for a process that is gone, maybe since a moment."""
    try:
        return psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return None


@pytest.fixture(scope="module")
def running_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabLayout]:
    with lab(tmp_path_factory.mktemp("lab")) as (layout, _):
        yield layout


def test_status_tells_each_part_with_port_process_memory_and_health(running_lab: LabLayout) -> None:
    found = report(running_lab)
    parts = {part.name: part for part in found.parts}

    assert (found.state, found.healthy) == ("ready", True)
    assert set(parts) == {"kafka", "postgres", "supervisor", "watchdog"}
    assert parts["kafka"].memory_mib > 50
    assert parts["postgres"].processes > 1, "its children count too"
    assert all(part.pid and psutil.pid_exists(part.pid) for part in found.parts)
    assert found.totals["memory_mib"] == pytest.approx(sum(part.memory_mib for part in found.parts), abs=1)


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_is_started_again_and_the_others_are_left_alone(running_lab: LabLayout, part: str) -> None:
    other = next(name for name in PARTS if name != part)
    before = wait_for(lambda: pid_of(running_lab, part), what=f"{part} to be ready")
    state = running(running_lab)
    assert state is not None
    other_before = state.parts[other].pid

    os.kill(before, signal.SIGKILL)
    wait_for(lambda: pid_of(running_lab, part) not in (None, before), 90, f"another {part}")

    state = running(running_lab)
    assert state is not None
    assert state.parts[part].restarts >= 1
    assert state.parts[other].pid == other_before
    probe = answers(embedded_url(running_lab)) if part == "postgres" else broker_ready(bootstrap(state))
    assert asyncio.run(probe) is None


def test_a_killed_watchdog_is_replaced(running_lab: LabLayout) -> None:
    state = running(running_lab)
    assert state is not None
    assert state.watchdog_pid
    os.kill(state.watchdog_pid, signal.SIGKILL)

    def replaced() -> bool:
        now = running(running_lab)
        return now is not None and now.watchdog_pid not in (None, state.watchdog_pid)

    wait_for(replaced, what="another watchdog")


def test_a_second_start_leaves_the_running_lab_as_it_is(running_lab: LabLayout) -> None:
    before = running(running_lab)
    second = start_in_background(running_lab, PARTS, environ=settings())

    assert second.wait(timeout=90) == 4
    after = running(running_lab)
    assert before is not None
    assert after is not None
    assert after.supervisor_pid == before.supervisor_pid


def test_two_labs_run_side_by_side(running_lab: LabLayout, tmp_path: Path) -> None:
    first = running(running_lab)
    assert first is not None
    taken = str(first.parts["kafka"].ports["kafka"])
    with lab(tmp_path, KAFKA_PORT=taken) as (_, second):
        assert second.parts["kafka"].ports["kafka"] != int(taken)
        assert second.moved_ports["kafka"][0] == int(taken)
        assert asyncio.run(broker_ready(bootstrap(first))) is None
        assert asyncio.run(broker_ready(bootstrap(second))) is None
    assert report(running_lab).healthy, "stopping one must not touch the other"


def test_a_killed_supervisor_leaves_no_process_and_the_data_survives(tmp_path: Path) -> None:
    with lab(tmp_path) as (layout, state):
        asyncio.run(create_missing(embedded_url(layout), ["kept"]))
        processes = [marked.process.pid for marked in find_marked(layout.lab_id)]
        assert len(processes) > 3

        os.kill(state.supervisor_pid, signal.SIGKILL)
        wait_for(lambda: not alive([*processes, state.watchdog_pid or 0]), what="the end of all")
        assert report(layout).state == "stopped"
    with lab(tmp_path, ["postgres"]) as (layout, _):
        assert asyncio.run(create_missing(embedded_url(layout), ["kept"])) == []


def test_stopping_is_graceful_and_may_be_repeated(tmp_path: Path) -> None:
    with lab(tmp_path, ["postgres"]) as (layout, state):
        assert stop(layout) is True
        assert find_marked(layout.lab_id) == []
        assert alive([state.supervisor_pid, state.watchdog_pid or 0]) == []
        assert stop(layout) is False
    assert "database system is shut down" in layout.log("postgres").read_text()
    assert report(layout).state == "stopped"


def test_processes_left_by_a_lost_supervisor_and_watchdog_are_ended_by_down(tmp_path: Path) -> None:
    with lab(tmp_path, ["postgres"]) as (layout, state):
        assert state.watchdog_pid
        os.kill(state.supervisor_pid, signal.SIGSTOP)
        os.kill(state.watchdog_pid, signal.SIGKILL)
        os.kill(state.supervisor_pid, signal.SIGKILL)
        wait_for(lambda: running(layout) is None, what="the end of the supervisor")
        assert report(layout).leftovers > 0

        assert stop(layout) is True
        assert report(layout).leftovers == 0


def test_a_part_that_cannot_start_fails_the_start_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("9.6\n")
    layout = LabLayout.at(tmp_path)
    supervisor = start_in_background(layout, ["postgres"], environ=settings(), tied_to_us=True)

    with pytest.raises(LabFailedError, match="postgres") as caught:
        wait_until_ready(layout, supervisor, seconds=60)

    assert caught.value.state is not None
    assert caught.value.state.failure is not None
    assert any("could not access the server configuration" in line for line in caught.value.state.failure["log_tail"])
    assert supervisor.wait(timeout=30) == 1
    assert find_marked(layout.lab_id) == []


def test_a_port_taken_by_a_stranger_is_replaced(tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen(1)
        taken = stranger.getsockname()[1]
        with lab(tmp_path, ["kafka"], KAFKA_PORT=str(taken)) as (_, state):
            first = state.parts["kafka"].ports["kafka"]
            assert first != taken
            assert asyncio.run(broker_ready(f"127.0.0.1:{first}")) is None


def test_an_external_database_is_used_and_not_started(running_lab: LabLayout, tmp_path: Path) -> None:
    theirs = embedded_url(running_lab)
    asyncio.run(create_missing(theirs, ["elsewhere"]))
    with lab(tmp_path, ["postgres"], DATABASE_URL=with_database(theirs, "elsewhere")) as (layout, state):
        assert state.parts["postgres"].pid is None
        assert find_marked(layout.lab_id) == []
    assert asyncio.run(create_missing(theirs, ["elsewhere_prefect"])) == [], "Prefect's database was made beside it"


def test_a_wrong_part_name_is_an_error_and_starts_nothing(tmp_path: Path) -> None:
    layout = LabLayout.at(tmp_path)
    supervisor: subprocess.Popen[bytes] = start_in_background(layout, ["nonsense"], environ=settings())

    assert supervisor.wait(timeout=90) != 0
    assert find_marked(layout.lab_id) == []
