"""`python -m datalab.local.supervise`: one lab in this process, until a signal or the end of standard input."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from datalab.local.assembly import assemble
from datalab.local.layout import LabLayout
from datalab.local.ports import PortBook
from datalab.local.state import LabLock
from datalab.local.supervisor import Supervisor
from datalab.runtime.logs import configure_logging

# Exit codes, as `datalab up` documents them.
OK, FAILED, ALREADY_RUNNING = 0, 1, 4


def supervise(
    layout: LabLayout,
    only: Iterable[str] | None = None,
    *,
    until_eof: bool = False,
    observe: Callable[[Supervisor], asyncio.Task[None]] | None = None,
) -> int:
    """Run the lab and return its exit code. `observe` may start a task that shows the supervisor's state."""
    layout.create()
    lock = LabLock(layout.lock_file)
    if not lock.acquire():
        return ALREADY_RUNNING
    book = PortBook(layout.ports_file)
    try:
        with layout.log("supervisor").open("a", encoding="utf-8") as stream:
            configure_logging("supervisor")
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler):
                    handler.setStream(stream)
            lab, parts, state = assemble(layout, book, only)
            return asyncio.run(_run(lambda: Supervisor(lab, parts, state), until_eof=until_eof, observe=observe))
    finally:
        book.release()
        lock.release()


async def _run(
    create: Callable[[], Supervisor], *, until_eof: bool, observe: Callable[[Supervisor], asyncio.Task[None]] | None
) -> int:
    supervisor, loop = create(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.request_stop)
    if until_eof:
        loop.add_reader(sys.stdin.fileno(), _stop_at_eof, loop, supervisor)
    observer = observe(supervisor) if observe else None
    try:
        return OK if await supervisor.run() else FAILED
    finally:
        if observer is not None:
            await observer


def _stop_at_eof(loop: asyncio.AbstractEventLoop, supervisor: Supervisor) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        loop.remove_reader(sys.stdin.fileno())
        supervisor.request_stop()


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--parts", help="names separated by commas; all if left out")
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input ends")
    options = parser.parse_args()
    only = options.parts.split(",") if options.parts else None
    sys.exit(supervise(LabLayout.at(options.home), only, until_eof=options.until_eof))


if __name__ == "__main__":
    main()
