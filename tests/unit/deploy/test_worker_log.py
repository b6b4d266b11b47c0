"""What a worker in a container writes: on the console for Docker, and in the file that the guide names."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).resolve().parents[3] / "deploy/bin/with_log.py"


def with_log(log: Path, *command: str) -> list[str]:
    return [sys.executable, str(PROGRAM), str(log), *command]


def test_a_workers_output_is_on_the_console_and_in_the_file(tmp_path: Path) -> None:
    log = tmp_path / "prefect-worker.log"
    command = ["sh", "-c", "echo one; echo two >&2; exit 7"]
    for _ in range(2):
        done = subprocess.run(with_log(log, *command), capture_output=True, text=True, timeout=20, check=False)
        assert (done.returncode, done.stdout) == (7, "one\ntwo\n")
    assert log.read_text() == "one\ntwo\n" * 2


def test_the_command_gets_the_signal_that_stops_the_container(tmp_path: Path) -> None:
    script = (
        "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit('stopped'))\nprint('up', flush=True)"
    )
    waiting = f"{script}\nwhile True: signal.pause()"
    process = subprocess.Popen(
        with_log(tmp_path / "log", sys.executable, "-c", waiting), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=20)
    assert (process.returncode, said) == (1, "stopped\n")


def test_a_killed_command_is_reported_as_a_shell_would(tmp_path: Path) -> None:
    done = subprocess.run(with_log(tmp_path / "log", "sh", "-c", "kill -KILL $$"), timeout=20, check=False)
    assert done.returncode == 128 + signal.SIGKILL


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    command = with_log(tmp_path / "nowhere" / "log", "true")
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert f"{tmp_path}/nowhere/log cannot be written: No such file or directory" in done.stderr
    assert "DATALAB_WORKER_LOG" in done.stderr


def test_the_file_stays_below_its_limit(tmp_path: Path) -> None:
    log = runpy.run_path(str(PROGRAM))["LogFile"](tmp_path / "log", limit=100)
    for number in range(50):
        log.write(f"line {number:03}\n".encode())
    assert {file.name for file in tmp_path.iterdir()} == {"log", "log.1"}
    assert max(file.stat().st_size for file in tmp_path.iterdir()) <= 120
    assert (tmp_path / "log").read_text().endswith("line 049\n")


def test_a_full_disk_costs_the_files_lines_and_never_the_command(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.symlink_to("/dev/full")
    done = subprocess.run(with_log(log, "sh", "-c", "echo one; echo two"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "one\ntwo\n"), done.stderr


def test_both_workers_write_where_the_guide_says(services: dict[str, dict[str, Any]], compose: Any) -> None:
    assert compose.defaults["DATALAB_WORKER_LOG"] == "/tmp/prefect-worker.log"
    for name in ("worker-etl", "worker-mlops"):
        program, log = services[name]["command"][1:3]
        assert (Path("/opt/datalab") / os.path.relpath(PROGRAM, PROGRAM.parents[2]), log) == (
            Path(program),
            "/tmp/prefect-worker.log",
        )
