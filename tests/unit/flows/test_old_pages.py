"""Which reports and lineage files are old, and that nothing else is."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.upkeep.errors import UpkeepError
from flows.upkeep.limits import Limits
from flows.upkeep.old_pages import OldPages, delete_pages, find_old_pages
from flows.upkeep.outcomes import Outcome
from flows.upkeep.summary import old_pages_word

NOW = datetime(2026, 5, 2, 6, 0, tzinfo=UTC)


def file(path: Path, days_old: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x" * 10)
    then = (NOW - timedelta(days=days_old)).timestamp()
    os.utime(path, (then, then))
    return path


def test_old_reports_and_lineage_go_and_what_is_new_or_something_else_stays(tmp_path: Path) -> None:
    old = [
        file(tmp_path / "reports" / "medallion" / "stocks" / "a.html", 366),
        file(tmp_path / "reports" / "maintenance" / "b.html", 1000),
        file(tmp_path / "lineage" / "stocks" / "c.jsonl", 366),
    ]
    kept = [
        file(tmp_path / "reports" / "medallion" / "stocks" / "new.html", 364),
        file(tmp_path / "reports" / "notes.txt", 1000),
        file(tmp_path / "lake" / "quality" / "d.jsonl", 1000),
        file(tmp_path / "elsewhere.html", 1000),
    ]
    (tmp_path / "reports" / "link.html").symlink_to(tmp_path / "elsewhere.html")
    found = find_old_pages(tmp_path, NOW, 365)
    assert (set(found.paths), found.size_bytes) == (set(old), 30)
    old[0].unlink()  # another run was faster
    delete_pages(found)
    assert [path for path in old if path.exists()] == []
    assert all(path.exists() for path in kept)
    assert find_old_pages(tmp_path, NOW, 365) == OldPages((), 0)


def test_a_lab_without_reports_has_none_that_are_old(tmp_path: Path) -> None:
    assert find_old_pages(tmp_path / "nowhere", NOW, 1).paths == ()


def test_they_are_kept_for_a_day_at_least() -> None:
    with pytest.raises(UpkeepError, match="keep_report_days=0: must be at least 1"):
        Limits(keep_report_days=0).check()


@pytest.mark.parametrize(
    ("count", "dry_run", "said"),
    [
        (1, False, "Old reports and lineage, one file of 2.0 kB, were deleted."),
        (1200, True, "Old reports and lineage, 1,200 files of 2.0 kB, would go."),
        (0, False, ""),
    ],
)
def test_what_became_of_them_is_said(count: int, dry_run: bool, said: str) -> None:
    old = OldPages(tuple(Path(f"{n}.html") for n in range(count)), 2000)
    assert old_pages_word(Outcome(dry_run, old_pages=old)) == said
    assert not old_pages_word(Outcome(dry_run))
