"""The Dockerfile: pinned, by hash, without rights, and with everything in it that the containers use."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def dockerfile() -> str:
    text = (Path(__file__).resolve().parents[3] / "Dockerfile").read_text("utf-8")
    return text.replace("\\\n", " ")


def copied(dockerfile: str) -> list[tuple[str, str]]:
    """Each COPY out of the project: source, destination."""
    found = []
    for words in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.M):
        *sources, target = words.split()
        found += [(source, target) for source in sources]
    return found


def test_every_stage_begins_with_a_pinned_image_or_another_stage(dockerfile: str) -> None:
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", dockerfile, re.M))
    stages: list[str] = []
    for image, name in re.findall(r"^FROM (\S+) AS (\w+)$", dockerfile, re.M):
        resolved = re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], image)
        assert resolved in stages or re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", resolved)
        stages.append(name)
    assert len(stages) == len(re.findall(r"^FROM ", dockerfile, re.M)) == 3


def test_packages_come_by_hash_only(dockerfile: str) -> None:
    installs = re.findall(r"(?:pip install|pip sync)[^&\n]*", dockerfile)
    assert len(installs) == 3
    for command in installs:
        assert "--require-hashes" in command or ("--offline" in command and "--no-deps" in command)


def test_it_does_not_run_as_root(dockerfile: str) -> None:
    last = dockerfile.rsplit("\nFROM ", 1)[1]
    assert re.findall(r"^USER (.+)$", last, re.M)[-1] == "10001:10001"


def test_what_is_copied_exists_and_is_not_ignored(dockerfile: str, root: Path) -> None:
    rules = [line for line in (root / ".dockerignore").read_text("utf-8").splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    kept = [rule[1:] for rule in rules if rule.startswith("!")]
    for source, _ in copied(dockerfile):
        assert (root / source).exists(), source
        assert any(source == rule or source.startswith(f"{rule}/") or rule.startswith(f"{source}/") for rule in kept)
    for rule in kept:
        assert (root / rule).exists(), rule
    secret = (".env", "deploy/secrets/database_url", ".git/config", ".datalab/run/state.json")
    assert not [s for s in secret if any(s == k or s.startswith(f"{k}/") or fnmatch.fnmatch(s, k) for k in kept)]


def test_every_package_of_the_project_is_in_the_image(dockerfile: str) -> None:
    for package in ("schemas", "datalab", "services", "flows", "config", "deploy"):
        assert (package, package) in copied(dockerfile)


def test_the_jars_stage_has_the_code_that_it_runs(dockerfile: str, root: Path, tmp_path: Path) -> None:
    stage = dockerfile.split(" AS jars\n")[1].split("\nFROM ", maxsplit=1)[0]
    for source, target in copied(stage):
        destination = tmp_path / target / Path(source).name if target.endswith("/") else tmp_path / target
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / source, destination)
    # All jars that it would fetch, and none of Kafka; -I keeps the real project off the path.
    check = (
        "import sys; sys.path.insert(0, '.'); import fetch_delta_jars as f, datalab;"
        "assert datalab.__file__.startswith(sys.argv[1]), datalab.__file__;"
        "print(len([j for j in f.read_lock() if j.set == 'delta']))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", check, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1


def test_volumes_have_a_folder_of_the_right_owner_in_the_image(dockerfile: str, root: Path) -> None:
    made = re.search(r"install -d -o datalab -g datalab (.+)", dockerfile)
    assert made
    mounted = set(re.findall(r":(/data/\w+)", (root / "docker-compose.yml").read_text("utf-8")))
    assert mounted <= set(made[1].split())
