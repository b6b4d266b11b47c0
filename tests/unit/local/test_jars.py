"""Jars: only whole and unchanged ones count, what is damaged is fetched again, and nothing is fetched twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from datalab.local import jars as jars_module
from datalab.local.jar_lock import Jar, read_lock, write_lock
from datalab.local.jars import JarCache, JarFetchError, Progress

CONTENT = b"PK fake jar content" * 50


def jar(name: str = "a", content: bytes = CONTENT) -> Jar:
    return Jar("org.example", name, "1.0", "kafka", len(content), hashlib.sha256(content).hexdigest())


class FakeRepository:
    """Serves bytes; counts what was asked for. `spoil` may change the bytes of a given attempt."""

    def __init__(self, spoil: Callable[[int, bytes], bytes] = lambda _, content: content) -> None:
        self.asked: list[str] = []
        self._spoil = spoil

    def __call__(self, wanted: Jar, folder: Path, received: Callable[[int], None]) -> Path:
        attempt = self.asked.count(wanted.file_name)
        self.asked.append(wanted.file_name)
        folder.mkdir(parents=True)
        target = folder / wanted.file_name
        target.write_bytes(self._spoil(attempt, CONTENT))
        received(len(CONTENT))
        return target


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars_module.time, "sleep", lambda _: None)


def test_missing_jars_are_fetched_once(tmp_path: Path) -> None:
    cache, repository = JarCache(tmp_path, [jar("a"), jar("b")]), FakeRepository()

    assert {fetched.artifact for fetched in cache.fetch(download=repository)} == {"a", "b"}
    assert cache.fetch(download=repository) == []
    assert sorted(repository.asked) == ["a-1.0.jar", "b-1.0.jar"]
    assert cache.missing() == []


@pytest.mark.parametrize(
    "damage", [b"", CONTENT[:-1], CONTENT + b"x", b"X" + CONTENT[1:]], ids=["empty", "short", "long", "changed"]
)
def test_a_damaged_jar_is_fetched_again(tmp_path: Path, damage: bytes) -> None:
    cache, repository = JarCache(tmp_path, [jar("a"), jar("b")]), FakeRepository()
    cache.fetch(download=repository)
    cache.path(jar("a")).write_bytes(damage)

    assert cache.missing() == [jar("a")]
    assert cache.fetch(download=repository) == [jar("a")]
    assert cache.path(jar("a")).read_bytes() == CONTENT


def test_a_download_that_arrives_damaged_is_tried_again(tmp_path: Path) -> None:
    repository = FakeRepository(lambda attempt, content: content[:10] if attempt == 0 else content)
    cache = JarCache(tmp_path, [jar()])

    cache.fetch(download=repository)

    assert len(repository.asked) == 2
    assert cache.missing() == []


def test_a_jar_that_never_matches_the_lock_is_refused_and_never_kept(tmp_path: Path) -> None:
    cache = JarCache(tmp_path, [jar()])

    with pytest.raises(JarFetchError, match=r"a-1\.0\.jar.*damaged.*datalab fetch"):
        cache.fetch(download=FakeRepository(lambda _, content: content[::-1]))

    assert not cache.path(jar()).exists()


def test_an_interrupted_fetch_keeps_what_it_has(tmp_path: Path) -> None:
    cache, good = JarCache(tmp_path, [jar("a"), jar("b")]), FakeRepository()

    def breaks_on_b(wanted: Jar, folder: Path, received: Callable[[int], None]) -> Path:
        if wanted.artifact == "b":
            raise ConnectionError("gone")
        return good(wanted, folder, received)

    with pytest.raises(JarFetchError, match="gone"):
        cache.fetch(download=breaks_on_b)
    assert cache.fetch(download=good) == [jar("b")]


def test_progress_counts_every_byte_and_jar(tmp_path: Path) -> None:
    received: list[int] = []
    finished: list[str] = []
    progress = Progress(lambda _: None, received.append, lambda done: finished.append(done.artifact))

    JarCache(tmp_path, [jar("a"), jar("b")]).fetch(progress, FakeRepository())

    assert sum(received) == 2 * len(CONTENT)
    assert sorted(finished) == ["a", "b"]


def test_the_committed_lock_is_complete_and_names_no_address() -> None:
    locked = read_lock()

    assert {entry.set for entry in locked} == {"kafka", "delta", "s3"}
    assert {"kafka_2.13", "kafka-clients", "log4j-slf4j-impl", "delta-storage"} <= {entry.artifact for entry in locked}
    assert all(len(entry.sha256) == 64 and entry.size > 0 for entry in locked)
    assert len({(entry.set, entry.file_name) for entry in locked}) == len(locked)
    assert "://" not in jars_module.read_lock.__globals__["LOCK_FILE"].read_text()


def test_a_lock_reads_back_as_written(tmp_path: Path) -> None:
    write_lock([jar("b"), jar("a")], tmp_path / "lock")

    assert read_lock(tmp_path / "lock") == [jar("a"), jar("b")]
