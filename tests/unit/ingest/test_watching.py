"""What the kernel's notices say of files: real inotify on a real directory."""

from __future__ import annotations

import os
import resource
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.ingest.listing import list_landing
from services.ingest.notices import Notices
from services.ingest.watching import Watch
from tests.support.polling import wait_for


class Ear:
    """A watch and all that it told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.watch = Watch(Notices(self._woken))
        self.completed: list[str] = []
        self.looks = 0

    def _woken(self) -> None:
        heard = self.watch.notices.take()
        self.completed += [os.path.relpath(path, self.root) for path in heard.completed]
        self.looks += heard.look

    def follow(self) -> None:
        self.watch.follow(list_landing(self.root).directories)

    def heard_after(self, last: str) -> list[str]:
        """All that was completed, once `last` was: notices keep their order."""
        (self.root / last).write_text("x")
        wait_for(lambda: last in self.completed, 10, f"a notice of {last}")
        return self.completed


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    (tmp_path / "stocks").mkdir()
    ear = Ear(tmp_path)
    ear.follow()
    yield ear
    ear.watch.close()


def test_a_file_is_complete_when_it_is_closed_and_not_before(ear: Ear) -> None:
    with (ear.root / "stocks/a.csv").open("w") as stream:
        stream.write("half")
        stream.flush()
        assert ear.heard_after("stocks/other.csv") == ["stocks/other.csv"]
    assert ear.heard_after("stocks/last.csv") == ["stocks/other.csv", "stocks/a.csv", "stocks/last.csv"]


@pytest.mark.parametrize("before", [".a.csv", "a.csv.part", "a.csv.tmp", "a_tmp"])
def test_a_rename_from_an_unfinished_name_completes(ear: Ear, before: str) -> None:
    (ear.root / "stocks" / before).write_text("x")
    (ear.root / "stocks" / before).rename(ear.root / "stocks/a.csv")

    assert ear.heard_after("stocks/last.csv") == ["stocks/a.csv", "stocks/last.csv"]


def test_a_move_from_outside_completes(ear: Ear, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "a.csv"
    outside.write_text("x")
    outside.rename(ear.root / "stocks/a.csv")

    assert ear.heard_after("stocks/last.csv") == ["stocks/a.csv", "stocks/last.csv"]


def test_another_visible_name_proves_nothing_of_a_file_that_is_still_written(ear: Ear) -> None:
    with (ear.root / "stocks/a.csv").open("w") as stream:
        stream.write("half")
        (ear.root / "stocks/a.csv").rename(ear.root / "stocks/b.csv")
        assert ear.heard_after("stocks/last.csv") == ["stocks/last.csv"]


def test_reading_changes_of_mode_and_removals_complete_nothing(ear: Ear) -> None:
    path = ear.root / "stocks/a.csv"
    ear.heard_after("stocks/a.csv")
    path.read_text()
    path.chmod(0o600)
    path.unlink()

    assert ear.heard_after("stocks/last.csv") == ["stocks/a.csv", "stocks/last.csv"]


def test_files_in_a_directory_made_a_moment_ago_are_noticed(ear: Ear) -> None:
    (ear.root / "eventos").mkdir()
    wait_for(lambda: ear.looks, 10, "a wish to list the new directory")
    (ear.root / "eventos/a.csv").write_text("x")

    wait_for(lambda: "eventos/a.csv" in ear.completed, 10, "a notice from the new directory")


def test_a_renamed_directory_is_followed_under_its_new_name(ear: Ear) -> None:
    (ear.root / "stocks").rename(ear.root / "eventos")
    wait_for(lambda: ear.looks, 10, "a wish to list the renamed directory")
    ear.follow()

    assert ear.heard_after("eventos/a.csv") == ["eventos/a.csv"]


def test_another_directory_in_the_place_of_one_that_was_moved_away_is_followed(
    ear: Ear, tmp_path_factory: pytest.TempPathFactory
) -> None:
    away = tmp_path_factory.mktemp("outside") / "stocks"
    (ear.root / "stocks").rename(away)
    (ear.root / "stocks").mkdir()
    wait_for(lambda: ear.looks, 10, "a wish to list the new directory")
    ear.follow()

    (away / "not-ours.csv").write_text("x")
    assert ear.heard_after("stocks/a.csv") == ["stocks/a.csv"]


def test_a_directory_that_vanishes_and_returns_is_followed_again(ear: Ear) -> None:
    shutil.rmtree(ear.root / "stocks")
    (ear.root / "stocks").mkdir()
    wait_for(lambda: ear.looks, 10, "a wish to list the directory that returned")
    ear.follow()

    assert ear.heard_after("stocks/a.csv") == ["stocks/a.csv"]


def test_more_than_the_kernel_keeps_ends_in_a_wish_to_list(ear: Ear) -> None:
    kept = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    with capture_logs() as logs:
        # The reading thread stands still at its first notice, as on a machine that is busy.
        with ear.watch.notices._lock:
            (ear.root / "stocks/first.csv").write_text("x")
            # Two notices each, for creating and closing: twice what is kept, as it may have read many before it stood.
            for number in range(kept):
                os.close(os.open(ear.root / f"stocks/{number}.csv", os.O_CREAT | os.O_WRONLY))
        wait_for(lambda: ear.looks, 30, "a wish to list")
    ear.heard_after("stocks/last.csv")

    assert [entry["event"] for entry in logs] == ["landing.notices_lost"]


def test_a_machine_without_room_for_watches_is_told_once_and_tried_again(ear: Ear) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    watch, directories = Watch(Notices(lambda: None)), list_landing(ear.root).directories
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    with capture_logs() as logs:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
            watch.follow(directories)
            watch.follow(directories)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [entry["event"] for entry in logs] == ["landing.unwatched"]
    assert "limit" in logs[0]["reason"]

    watch.follow(directories)
    (ear.root / "stocks/a.csv").write_text("x")
    wait_for(lambda: watch.notices.take().completed, 10, "a notice once there was room")
    watch.close()


def test_a_reading_thread_that_died_is_replaced(ear: Ear) -> None:
    assert ear.watch._inotify is not None
    ear.watch._inotify.stop()
    ear.watch._inotify.join(5)
    ear.follow()

    assert ear.heard_after("stocks/a.csv") == ["stocks/a.csv"]


def test_closing_ends_its_thread(tmp_path: Path) -> None:
    ear = Ear(tmp_path)
    ear.follow()
    # By itself, not by counting: threads of others may end or begin meanwhile.
    reading = ear.watch._inotify
    assert isinstance(reading, threading.Thread)
    assert reading.is_alive()
    ear.watch.close()
    assert not reading.is_alive()
