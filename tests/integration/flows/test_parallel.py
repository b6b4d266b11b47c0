"""Chunks in parallel on a real Prefect server: five at once at most, in order, an end at the first failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from prefect import flow, task
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.errors import FlowError
from flows.parallel import AT_ONCE, ChunkError, five_at_once, processar_em_paralelo
from flows.runs import may_pass_later

Chunk = list[int]


@pytest.fixture(autouse=True)
def _server(prefect_api_url: str) -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: prefect_api_url}):
        yield


class Meter:
    """How many chunks are in work now, and were at most. Each waits until five are (or no more can come)."""

    def __init__(self, chunks: int) -> None:
        self.lock, self.now, self.most, self.begun, self.chunks = threading.Condition(), 0, 0, 0, chunks

    def work(self, chunk: Chunk) -> Chunk:
        with self.lock:
            self.now, self.begun = self.now + 1, self.begun + 1
            self.most = max(self.most, self.now)
            self.lock.notify_all()
            together = min(AT_ONCE, self.chunks)
            assert self.lock.wait_for(lambda: self.most >= together, timeout=30)
        # The later ones end first.
        threading.Event().wait(0.3 / (1 + chunk[0]))
        with self.lock:
            self.now -= 1
        return [10 * item for item in chunk]


def test_five_at_once_and_never_more_and_the_results_in_order() -> None:
    meter = Meter(chunks=12)
    work = task(meter.work, name="work")

    @flow(task_runner=five_at_once())
    def through() -> Chunk:
        return processar_em_paralelo(work, range(23), tamanho=2)

    assert through() == [10 * item for item in range(23)]
    assert meter.most == AT_ONCE == 5
    assert meter.begun == 12


def test_it_holds_with_any_task_runner() -> None:
    meter = Meter(chunks=12)
    work = task(meter.work, name="work")

    @flow
    def through() -> Chunk:
        return processar_em_paralelo(work, range(12), tamanho=1)

    assert through() == [10 * item for item in range(12)]
    assert meter.most == AT_ONCE


@pytest.mark.parametrize(("error", "transient"), [(FlowError("is broken"), False), (OSError("is away"), True)])
def test_the_first_failing_chunk_is_named_and_no_further_one_starts(error: Exception, transient: bool) -> None:
    begun: list[int] = []

    def work(chunk: Chunk) -> Chunk:
        begun.append(chunk[0])
        if chunk[0] == 2:
            raise error
        return chunk

    failing = task(work, name="work", retries=0, retry_condition_fn=may_pass_later)

    @flow(task_runner=five_at_once())
    def through() -> Chunk:
        return processar_em_paralelo(failing, range(400), tamanho=2)

    with pytest.raises(ChunkError, match=rf"items 3 to 4 of 400 \(2 … 3\): {error}") as raised:
        through()
    assert raised.value.transient is transient
    assert isinstance(raised.value.__cause__, type(error))
    assert len(begun) < 100


def test_nothing_to_do_and_a_wrong_size() -> None:
    calls: list[Chunk] = []

    def work(chunk: Chunk) -> Chunk:
        calls.append(chunk)
        return chunk

    @flow
    def through(size: int) -> Chunk:
        return processar_em_paralelo(task(work), [], tamanho=size)

    assert through(3) == []
    assert calls == []
    with pytest.raises(ValueError, match="tamanho: must be at least 1"):
        through(0)
