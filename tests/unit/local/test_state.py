"""The state file and the lock: what is stale does not pass for a living lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from datalab.local.control import running
from datalab.local.layout import LabLayout
from datalab.local.marked import LAB_MARK, carries_mark, find_marked
from datalab.local.state import LabLock, LabState, PartStatus


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lab_state(layout: LabLayout, **values: object) -> LabState:
    return LabState(layout.lab_id, str(layout.home), **values)  # type: ignore[arg-type]  # fields of every type


def test_a_state_reads_back_as_written(tmp_path: Path) -> None:
    layout = LabLayout.at(tmp_path)
    state = lab_state(layout, phase="ready", moved_ports={"kafka": [9092, 20123]})
    state.parts["kafka"] = PartStatus("kafka", "ready", 17, {"kafka": 20123}, restarts=2, start_seconds=1.5)

    state.save(layout)

    assert LabState.load(layout) == state
    assert [path.name for path in layout.run.iterdir()] == ["state.json"]


def test_a_half_written_or_foreign_state_is_none(tmp_path: Path) -> None:
    layout = LabLayout.at(tmp_path)
    assert LabState.load(layout) is None
    layout.run.mkdir(parents=True)
    for text in ("", "{", "[]", '{"parts": {}}', json.dumps({"lab_id": "another", "home": "/", "parts": {}})):
        layout.state_file.write_text(text)
        assert LabState.load(layout) is None


def test_a_state_whose_supervisor_died_is_not_a_running_lab(tmp_path: Path) -> None:
    layout = LabLayout.at(tmp_path)
    # Our own number stands for one that was used again by an unrelated, living process.
    lab_state(layout, phase="ready", supervisor_pid=os.getpid()).save(layout)

    assert running(layout) is None


def test_a_state_of_an_earlier_supervisor_is_not_that_of_the_present_one(tmp_path: Path) -> None:
    layout, lock = LabLayout.at(tmp_path), LabLock(LabLayout.at(tmp_path).lock_file)
    lab_state(layout, phase="ready", supervisor_pid=os.getpid() + 1).save(layout)
    assert lock.acquire()

    assert running(layout) is None
    lab_state(layout, phase="starting").save(layout)
    assert running(layout) is not None


def test_the_lock_is_held_once_and_names_its_holder(tmp_path: Path) -> None:
    first, second = LabLock(tmp_path / "run" / "lab.lock"), LabLock(tmp_path / "run" / "lab.lock")

    assert first.holder() is None
    assert first.acquire()
    assert not second.acquire()
    assert second.holder() == os.getpid()
    first.release()
    assert second.holder() is None
    assert second.acquire()


def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lab.lock"
    code = (
        "import os, sys; from pathlib import Path; from datalab.local.state import LabLock; "
        "assert LabLock(Path(sys.argv[1])).acquire(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=30)

    assert path.read_text().isdigit()
    assert LabLock(path).holder() is None


def test_a_mark_tells_ours_from_a_reused_number(tmp_path: Path) -> None:
    lab = LabLayout.at(tmp_path).lab_id
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, env={**os.environ, LAB_MARK: lab}
    ) as ours:
        eventually(lambda: carries_mark(ours.pid, lab))
        assert not carries_mark(ours.pid, "another lab")
        assert [found.process.pid for found in find_marked(lab)] == [ours.pid]
        ours.communicate()
    assert not carries_mark(os.getpid(), lab)
    assert find_marked(lab) == []


def test_each_folder_is_a_lab_of_its_own_by_whatever_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert LabLayout.at(tmp_path / "real").lab_id == LabLayout.at(tmp_path / "link").lab_id
    assert LabLayout.at(tmp_path / "real").lab_id != LabLayout.at(tmp_path / "other").lab_id


def test_a_long_or_odd_folder_gets_a_short_socket_path(tmp_path: Path) -> None:
    for name in ("x" * 120, "with space", "com,ma", "ação"):
        socket = LabLayout.at(tmp_path / name).postgres_socket_dir
        assert len(os.fsencode(socket / ".s.PGSQL.5432.lock")) < 108
        assert not set(" ,ç") & set(str(socket))


def test_the_watchdog_leaves_the_processes_of_a_second_supervisor_alone(tmp_path: Path) -> None:
    layout = LabLayout.at(tmp_path)
    lock = LabLock(layout.lock_file)
    assert lock.acquire()
    sleeper = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(sleeper, stdin=subprocess.PIPE, env={**os.environ, LAB_MARK: layout.lab_id}) as part:
        eventually(lambda: carries_mark(part.pid, layout.lab_id))
        # Ours is the living lock; the watchdog's own supervisor had another number.
        watch(layout, supervisor=os.getpid() + 1)
        assert part.poll() is None
        watch(layout, supervisor=os.getpid())
        eventually(lambda: part.poll() is not None)


def watch(layout: LabLayout, *, supervisor: int) -> None:
    command = [sys.executable, "-m", "datalab.local.watchdog", layout.lab_id, str(layout.lock_file), str(supervisor)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=30)
