"""Class archives: used once they are whole, written only in a trial start, another one for another Java."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalab.local.class_archive import JVM_PARTS, RECORD, ClassArchives
from datalab.local.java import Java


def test_nothing_is_used_until_an_archive_was_kept(tmp_path: Path) -> None:
    archives = ClassArchives(tmp_path)
    (tmp_path / "kafka.jsa.new").write_text("half")

    assert archives.options("kafka") == []
    assert archives.missing() == list(JVM_PARTS)
    archives.keep(["kafka", "spark"])
    assert f"-XX:SharedArchiveFile={tmp_path / 'kafka.jsa'}" in archives.options("kafka")
    assert archives.missing() == ["spark"]


def test_what_an_interrupted_trial_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "spark.jsa.new").write_text("half")

    ClassArchives(tmp_path).prepare()

    assert list(tmp_path.iterdir()) == []


def test_only_a_trial_start_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALAB_CACHE", str(tmp_path))
    java = Java(tmp_path / "bin" / "java", 17)

    assert not ClassArchives.of(java, {}).recording
    recording = ClassArchives.of(java, {RECORD: "1"})
    assert any(option.startswith("-XX:ArchiveClassesAtExit=") for option in recording.options("spark"))


def test_another_java_has_another_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALAB_CACHE", str(tmp_path))
    one, other = (ClassArchives.of(Java(tmp_path / name / "bin" / "java", 17), {}) for name in ("a", "b"))

    assert one.folder != other.folder
