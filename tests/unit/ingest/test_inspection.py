"""Reading one file from disk: its hash, its id, and what may happen to it meanwhile."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import tracemalloc
from pathlib import Path

import pytest

from services.ingest import inspection
from services.ingest.inspection import Arrived, Changed, Refused, Vanished, Verdict, inspect
from services.ingest.listing import Found, list_landing
from services.ingest.settling import Stamp

CONTENT = b"a,b\n" * 500_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "stocks" / "a b.csv"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def look(path: Path, *, stopping: bool = False) -> Verdict:
    event = threading.Event()
    if stopping:
        event.set()
    root = path.parent.parent
    return inspect(list_landing(root).found[str(path)], root, {}, event)


def test_the_hash_is_that_of_the_whole_content(path: Path) -> None:
    verdict = look(path)

    assert isinstance(verdict, Arrived)
    assert verdict.sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_the_id_follows_from_place_and_content_alone(path: Path) -> None:
    first = look(path)
    os.utime(path, ns=(5, 5_000_000_000))
    touched = look(path)
    path.write_bytes(CONTENT + b"c")
    changed = look(path)
    other = path.with_name("other.csv")
    other.write_bytes(CONTENT)

    ids = [verdict.event_id for verdict in (first, touched, changed, look(other)) if isinstance(verdict, Arrived)]
    assert ids[0] == ids[1]
    assert len(ids) == 4
    assert len(set(ids)) == 3


@pytest.mark.parametrize(("fault", "refused"), [(errno.EMFILE, False), (errno.ESTALE, False), (errno.EACCES, True)])
def test_what_we_lack_for_the_moment_refuses_no_file(
    path: Path, fault: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(inspection.os, "open", fail)
    assert isinstance(look(path), Refused if refused else Changed)


def test_a_file_that_is_not_as_listed_has_changed(path: Path) -> None:
    found = Found(str(path), Stamp(1, 1))

    assert inspect(found, path.parent.parent, {}, threading.Event()) == Changed()


@pytest.mark.parametrize("how", ["append", "replace"])
def test_a_change_during_the_reading_is_noticed(path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = inspection._sha256

    def meanwhile(descriptor: int, stopping: threading.Event) -> str | None:
        digest = read(descriptor, stopping)
        if how == "append":
            with path.open("ab") as stream:
                stream.write(b"more")
        else:
            other = path.with_name("new.csv")
            other.write_bytes(b"x")
            other.replace(path)
        return digest

    monkeypatch.setattr(inspection, "_sha256", meanwhile)
    assert look(path) == Changed()


def test_a_file_that_is_gone_is_no_error(path: Path) -> None:
    found = list_landing(path.parent.parent).found[str(path)]
    path.unlink()

    assert inspect(found, path.parent.parent, {}, threading.Event()) == Vanished()


def test_a_stop_ends_the_reading(path: Path) -> None:
    assert look(path, stopping=True) == Vanished()


def test_an_unreadable_file_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    found = list_landing(path.parent.parent).found[str(path)]
    monkeypatch.setattr(inspection.os, "open", forbidden)

    verdict = inspect(found, path.parent.parent, {}, threading.Event())
    assert verdict == Refused("it cannot be read: Permission denied; mend that and touch the file", "stocks")


def test_a_link_that_is_turned_outwards_after_the_listing_is_not_followed(path: Path, tmp_path: Path) -> None:
    root = path.parent.parent / "stocks"
    (root / "set").mkdir()
    link = root / "set" / "l.csv"
    link.symlink_to(path)
    found = list_landing(root).found[str(link)]
    secret = tmp_path / "secret.csv"
    secret.write_bytes(CONTENT)
    os.utime(secret, ns=(found.stamp.mtime_ns, found.stamp.mtime_ns))
    link.unlink()
    link.symlink_to(secret)

    assert found.refusal is None
    assert isinstance(inspect(found, root, {}, threading.Event()), Refused)


def test_a_time_beyond_the_calendar_is_refused(path: Path) -> None:
    found = Found(str(path), Stamp(1, 10**22))

    assert isinstance(inspect(found, path.parent.parent, {}, threading.Event()), Refused)


def test_links_within_the_landing_directory_are_followed_once(path: Path) -> None:
    root = path.parent.parent
    (path.parent / "link.csv").symlink_to(path)
    (path.parent / "up").symlink_to(root)

    found = list_landing(root).found

    assert found[str(path.parent / "link.csv")].refusal is None
    assert found[str(path.parent / "link.csv")].stamp == found[str(path)].stamp
    assert "not a file" in str(found[str(path.parent / "up")].refusal) or "outside" in str(
        found[str(path.parent / "up")].refusal
    )
    assert len(found) == 3


def test_two_gibibytes_are_hashed_without_holding_them(tmp_path: Path) -> None:
    size = 2 * 1024**3
    path = tmp_path / "stocks" / "large.parquet"
    path.parent.mkdir()
    with path.open("wb") as stream:  # sparse: it takes no room on the disk
        stream.write(b"PAR1")
        stream.seek(size - 4)
        stream.write(b"PAR1")
    tracemalloc.start()
    try:
        verdict = look(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    expected = hashlib.sha256(b"PAR1")
    for _ in range(2047):
        expected.update(bytes(1024**2))
    expected.update(bytes(1024**2 - 8) + b"PAR1")
    assert isinstance(verdict, Arrived)
    assert verdict.sha256 == expected.hexdigest()
    assert peak < 8 * 1024**2
