"""Java: JAVA_HOME before PATH, only 17 and 21, and one line that says how to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalab.local.java import JavaMissingError, find_java


def install(folder: Path, version: str) -> Path:
    """A program that answers -version as that Java does."""
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "java"
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    program.chmod(0o755)
    return folder


def path_of(folder: Path) -> str:
    return f"{folder / 'bin'}:/usr/bin:/bin"


@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("21", 21), ("21.0.2", 21)])
def test_a_fitting_java_on_the_path_is_found(tmp_path: Path, version: str, major: int) -> None:
    java = find_java({"PATH": path_of(install(tmp_path / "jdk", version))})

    assert (java.major, java.home) == (major, tmp_path / "jdk")


def test_java_home_comes_first(tmp_path: Path) -> None:
    home, other = install(tmp_path / "home", "21.0.1"), install(tmp_path / "other", "17.0.1")

    assert find_java({"JAVA_HOME": str(home), "PATH": path_of(other)}).home == home


def test_an_unfit_java_home_gives_way_to_the_path(tmp_path: Path) -> None:
    old, good = install(tmp_path / "old", "1.8.0_402"), install(tmp_path / "good", "17.0.1")

    assert find_java({"JAVA_HOME": str(old), "PATH": path_of(good)}).home == good


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.2", "25"])
def test_an_unfit_version_is_named_with_the_command_that_mends_it(tmp_path: Path, version: str) -> None:
    home = install(tmp_path / "jdk", version)
    with pytest.raises(JavaMissingError, match=r"version \d+.*apt-get install openjdk-17") as caught:
        find_java({"JAVA_HOME": str(home), "PATH": str(tmp_path)})
    assert "\n" not in str(caught.value)


def test_no_java_at_all_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(JavaMissingError, match=r"none on PATH.*apt-get install"):
        find_java({"PATH": str(tmp_path)})
