"""How faust fetches for the monitor: whoever is busy finds records waiting when it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faust.types import TP

from services.monitor.faust_app import faust_app

FULL, AT_ITS_END = TP("lab.runs", 0), TP("lab.quality", 0)


@pytest.fixture
async def app(tmp_path: Path) -> Any:
    return faust_app("127.0.0.1:1", "monitor", tmp_path)


async def test_a_full_queue_takes_no_partition_out_of_the_next_fetch(app: Any) -> None:
    # Else the next fetch asks only for those at their end, and waits a second for what is not there.
    consumer = app.consumer
    consumer._active_partitions = {FULL, AT_ITS_END}
    consumer.on_buffer_full(FULL)
    assert consumer._get_active_partitions() == {FULL, AT_ITS_END}


async def test_a_fetch_of_partitions_at_their_end_is_answered_soon(app: Any) -> None:
    # No other is under way to that broker meanwhile, and what is queued here is handled within a second.
    consumer = app.consumer._thread._create_worker_consumer(app.transport)
    await consumer.stop()
    assert 50 <= consumer._fetch_max_wait_ms <= 250
