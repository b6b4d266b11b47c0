"""A new machine has no Chromium: it is installed where that can be done, and else one line says what to do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "ensure-chromium.sh"


class Machine:
    """A PATH of its own, with only what the script needs and what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("bash", "mktemp", "tail", "rm", "chmod", "cat"):
            (folder / name).symlink_to(str(shutil.which(name)))

    def has(self, name: str, script: str = "") -> Path:
        program = self.folder / name
        program.write_text(f"#!{self.folder / 'bash'}\n{script}\n")
        program.chmod(0o755)
        return program

    def run(self, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.folder / "bash"), str(SCRIPT)], env={"PATH": str(self.folder), **environ},
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "bin")


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome"])
def test_one_that_is_there_is_taken(machine: Machine, name: str) -> None:
    found = machine.has(name)
    assert machine.run().stdout.strip() == str(found)


def test_the_named_one_is_taken_first(machine: Machine, tmp_path: Path) -> None:
    machine.has("chromium")
    elsewhere = Machine(tmp_path / "other").has("my-chrome")
    assert machine.run(CHROMIUM=str(elsewhere)).stdout.strip() == str(elsewhere)


def test_a_named_one_that_cannot_be_run_is_an_error(machine: Machine) -> None:
    machine.has("chromium")
    done = machine.run(CHROMIUM="/no/such/chromium")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/no/such/chromium" in done.stderr


def test_root_installs_debians(machine: Machine) -> None:
    machine.has("id", "echo 0")
    log = machine.folder / "asked"
    chromium = machine.folder / "chromium"
    machine.has("apt-get", f'echo "$@" >>{log}; [ "$1" = update ] || {{ echo >{chromium}; chmod 755 {chromium}; }}')
    done = machine.run()

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(chromium)
    assert log.read_text().splitlines() == ["update", "install -y --no-install-recommends chromium"]
    assert len(done.stderr.splitlines()) == 1, "one line of progress"


def test_an_installation_that_fails_says_why_and_what_to_do(machine: Machine) -> None:
    machine.has("id", "echo 0")
    machine.has("apt-get", "echo no network >&2; exit 100")
    done = machine.run()

    assert done.returncode == 1
    assert "no network" in done.stderr
    assert "apt-get install chromium" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("user", ["0", "1000"])
def test_where_nothing_can_be_installed_one_line_says_what_to_do(machine: Machine, user: str) -> None:
    machine.has("id", f"echo {user}")
    if user != "0":
        machine.has("apt-get")
    done = machine.run()

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "apt-get install chromium" in line
