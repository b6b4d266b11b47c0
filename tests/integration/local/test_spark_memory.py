"""Spark Connect out of memory: it is replaced, and whoever waits is served."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from flows.lake.session import SparkConnection
from tests.support.lab_parts import lab_parts

# Far more than the server's heap, in one object that cannot be spilled to disk.
_TOO_MUCH = "SELECT size(collect_list(repeat(CAST(id AS STRING), 20))) FROM range(0, 100000000, 1, 1)"


def test_a_server_without_memory_is_replaced_and_serves_the_next_run(tmp_path: Path) -> None:
    with lab_parts(tmp_path / "lab", ["spark"]) as state:
        part = state.parts["spark"]
        assert part.pid is not None
        first = psutil.Process(part.pid)
        remote = f"sc://127.0.0.1:{part.ports['spark']}"
        greedy = SparkConnection(remote=remote, master=None, wait_s=5, say=print)
        with pytest.raises(Exception), greedy.session() as session:  # noqa: B017, PT011 - whatever the client makes of it
            session.sql(_TOO_MUCH).collect()
        first.wait(60)
        waiting = SparkConnection(remote=remote, master=None, wait_s=90, say=print)
        with waiting.session() as session:
            assert session.sql("SELECT 1 AS one").collect()[0]["one"] == 1
        waiting.close()
