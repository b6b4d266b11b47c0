"""The file that the workers' output goes to: each lab's own, or the one that DATALAB_WORKER_LOG names."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalab.local.parts import worker_log
from datalab.local.parts.base import PartError
from datalab.local.parts.worker_log import use_log


def test_without_a_name_the_log_is_the_labs_own(tmp_path: Path) -> None:
    own = tmp_path / "etl-worker.log"
    use_log(own, "")
    assert not own.is_symlink()
    own.write_text("kept\n")
    use_log(own, "")
    assert own.read_text() == "kept\n"


def test_both_workers_append_to_the_named_file_and_the_own_log_leads_there(tmp_path: Path) -> None:
    named = tmp_path / "prefect-worker.log"
    named.write_text("before\n")
    for worker in ("etl-worker", "mlops-worker"):
        own = tmp_path / f"{worker}.log"
        own.write_text(f"old lines of {worker}\n")
        for _ in range(2):
            use_log(own, str(named))
        with own.open("a") as log:
            log.write(f"{worker}\n")
        assert (tmp_path / f"{worker}.log.1").read_text() == f"old lines of {worker}\n"
    assert named.read_text() == "before\netl-worker\nmlops-worker\n"


def test_a_name_that_is_taken_back_gives_the_lab_its_own_log_again(tmp_path: Path) -> None:
    own, named = tmp_path / "etl-worker.log", tmp_path / "named.log"
    use_log(own, str(named))
    own.write_text("there\n")
    use_log(own, "")
    assert not own.exists()
    assert named.read_text() == "there\n"


def test_a_named_file_that_grew_too_large_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_log, "LIMIT", 10)
    named = tmp_path / "named.log"
    named.write_text("more than ten bytes\n")
    use_log(tmp_path / "etl-worker.log", str(named))
    assert (named.read_text(), (tmp_path / "named.log.1").read_text()) == ("", "more than ten bytes\n")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("prefect-worker.log", "is not absolute"),
        ("{tmp}/nowhere/w.log", "cannot be written: No such file or directory"),
        ("{tmp}", "cannot be written: Is a directory"),
        ("{tmp}/link.log", "cannot be written: Too many levels of symbolic links"),
    ],
)
def test_a_name_that_cannot_be_used_is_said_with_the_variable(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "link.log").symlink_to(tmp_path / "somebody-elses.log")
    with pytest.raises(PartError, match=f"DATALAB_WORKER_LOG: .*{reason}"):
        use_log(tmp_path / "etl-worker.log", name.format(tmp=tmp_path))
    assert not (tmp_path / "somebody-elses.log").exists()
