from __future__ import annotations

import os
from pathlib import Path

from datalab.worker.sources import changed


def stamp(path: Path) -> tuple[float, int]:
    status = path.stat()
    return (status.st_mtime, status.st_size)


def test_an_unchanged_file_is_not_named(tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text("a = 1\n")
    assert changed({str(file): stamp(file)}) is None


def test_another_time_another_size_and_no_file_are_changes(tmp_path: Path) -> None:
    files = {}
    for name in ("time.py", "size.py", "gone.py"):
        (tmp_path / name).write_text("a = 1\n")
        files[name] = {str(tmp_path / name): stamp(tmp_path / name)}
    os.utime(tmp_path / "time.py", (1, 1))
    times = (tmp_path / "size.py").stat()
    (tmp_path / "size.py").write_text("a = 10\n")
    os.utime(tmp_path / "size.py", ns=(times.st_atime_ns, times.st_mtime_ns))
    (tmp_path / "gone.py").unlink()
    assert [changed(files[name]) for name in files] == [str(tmp_path / name) for name in files]
