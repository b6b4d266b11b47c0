"""Chunks in parallel, at most five at once: the pattern for work that is many times the same.

    @flow(task_runner=five_at_once())
    def hash_all(files: list[Path]) -> list[str]:
        return processar_em_paralelo(hash_chunk, files, tamanho=20)

where `hash_chunk` is a task from a list to a list of the same length. Threads: it pays for work that waits (files,
network) or leaves Python (hashing), not for Python that computes. It is no way to write one table from several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from flows.errors import FlowError

if TYPE_CHECKING:
    from prefect import Task
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner

AT_ONCE = 5
T = TypeVar("T")
R = TypeVar("R")


class ChunkError(FlowError):
    """A chunk failed, after its retries. The message names it; the cause is the task's own error."""

    def __init__(self, name: str, cause: BaseException) -> None:
        super().__init__(f"{name}: {cause or type(cause).__name__}")
        self.transient = getattr(cause, "transient", True)


def five_at_once() -> TaskRunner[Any]:
    """The task runner of a flow whose tasks may run beside each other."""
    from prefect.task_runners import ThreadPoolTaskRunner

    return ThreadPoolTaskRunner(max_workers=AT_ONCE)


def processar_em_paralelo(
    processar_chunk: Task[[list[T]], list[R]], dados: Sequence[T], *, tamanho: int = 100
) -> list[R]:
    """The results of all chunks of `dados`, in its order. To be called in a flow.

    At most five chunks are submitted at a time, whatever the flow's task runner is. Once one has failed no further one
    is started; those that run are waited for, and ChunkError is raised for the first in the order of `dados`.
    """
    if tamanho < 1:
        raise ValueError(f"tamanho: must be at least 1, not {tamanho}")
    free, failed = threading.Semaphore(AT_ONCE), threading.Event()
    futures: dict[str, PrefectFuture[list[R]]] = {}

    def ended(future: PrefectFuture[Any]) -> None:
        try:
            future.wait()  # it has ended; without this, its state would be asked of the server
            if not future.state.is_completed():
                failed.set()
        finally:
            free.release()

    for start in range(0, len(dados), tamanho):
        free.acquire()
        if failed.is_set():
            break
        chunk = list(dados[start : start + tamanho])
        name = f"items {start + 1} to {start + len(chunk)} of {len(dados)} ({chunk[0]} … {chunk[-1]})"
        futures[name] = processar_chunk.submit(chunk)
        futures[name].add_done_callback(ended)
    return _gathered(futures)


def _gathered(futures: dict[str, PrefectFuture[list[R]]]) -> list[R]:
    results: list[R] = []
    errors: list[ChunkError] = []
    for name, future in futures.items():
        try:
            results.extend(future.result())
        except Exception as error:
            errors.append(ChunkError(name, error))
            errors[-1].__cause__ = error
    if errors:
        raise errors[0]
    return results
