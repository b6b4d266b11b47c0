"""Running a service: signals become one stop event; HTTP is served in the same event loop and ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from fastapi import FastAPI

from datalab.runtime.logs import configure_logging, get_logger

log = get_logger(__name__)


async def serve(app: FastAPI, host: str, port: int, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then let requests finish for up to 5 s. Raises OSError if the port is taken."""
    # Bound here, because uvicorn answers a taken port with SystemExit out of a task.
    with _listen(host, port) as listener:
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5)
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if serving.done() and not stop.is_set():
            raise OSError(f"serving on {host}:{port} ended by itself") from serving.exception()
        server.should_exit = True
        await serving


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise OSError(error.errno, f"cannot serve on {host}:{port}: {error.strerror}; choose another port") from error


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: they are the process's business (run_service), not the HTTP server's."""
        yield


def run_service(
    service: str,
    main: Callable[[asyncio.Event], Awaitable[None]],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run `main` until it returns; SIGTERM and SIGINT set the event it is given, a second one ends at once."""
    configure_logging(service)

    async def supervise() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop_once, loop, number, stop)
        log.info("service.starting")
        await main(stop)
        log.info("service.stopped")

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(supervise())


def _stop_once(loop: asyncio.AbstractEventLoop, number: signal.Signals, stop: asyncio.Event) -> None:
    log.info("service.stopping", signal=number.name)
    stop.set()
    loop.remove_signal_handler(number)


async def run_all(stop: asyncio.Event, *parts: Awaitable[None]) -> None:
    """Run the long-lived parts of a service side by side. If one ends by itself or raises, all are stopped."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        for task in done:
            task.result()
        await asyncio.wait(tasks, timeout=15)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        stop.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
