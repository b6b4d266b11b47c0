"""A directory of many files: what is new in it is found five chunks at once, and what is done is not done again."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from flows.lake import sources
from flows.medallion_etl_flow import medallion_etl_pipeline
from flows.parallel import AT_ONCE
from tests.integration.flows.conftest import LakeView

FILES = 65  # seven chunks


class Together:
    """Hashing that begins only when five are at it, and knows how many were at most."""

    def __init__(self) -> None:
        self.lock, self.now, self.most = threading.Condition(), 0, 0
        self.real = sources.hash_file

    def hash(self, path: Path) -> str:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.lock.notify_all()
            assert self.lock.wait_for(lambda: self.most >= AT_ONCE, timeout=30)
        try:
            return self.real(path)
        finally:
            with self.lock:
                self.now -= 1


def test_the_files_of_a_directory_are_hashed_five_chunks_at_once(
    lake: LakeView, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [lake.put(f"{n}.csv", f"symbol,date\nA{n},2024-01-01\n") for n in range(FILES)]
    done = [{"ingest_id": ingestion} for ingestion in sources.ingestions(files)]
    ledger = lake.root / "ledger" / "stocks"
    ledger.parent.mkdir(parents=True)
    write_deltalake(str(ledger), pa.Table.from_pylist(done))
    together = Together()
    monkeypatch.setattr(sources, "hash_file", together.hash)

    summary = medallion_etl_pipeline(str(lake.landing))
    assert (summary["files"], summary["files_skipped"]) == ([], FILES)
    assert together.most == AT_ONCE
