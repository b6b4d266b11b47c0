"""The monitor: events a second from Kafka to run history and alert states, on one core; from event to alert; the flow.

The peers in the same round are one faust agent with one Table, as faust comes and with a producer that lingers, on that
same core, over the same records; broker and database have the other core. Keys: events_per_s, ratio_vs_faust_table,
event_to_alert_p95_ms, flow_s, flow_three_hanging_s. Each part has a time limit; one that fails says why, and the
other's figures are given all the same.
"""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

from bench.harness import Spread, report
from bench.monitor_backlog import backlog_figures
from bench.monitor_flow import flow_figures

KEYS = ("events_per_s", "ratio_vs_faust_table", "event_to_alert_p95_ms", "flow_s", "flow_three_hanging_s")
LIMITS_S = {"events": 240, "flow": 240}


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--runs", type=int, default=50_000, help="in the backlog; two events each")
    parser.add_argument("--part", choices=tuple(LIMITS_S), help="only this one")
    given = parser.parse_args()
    spreads, failed = dict[str, Spread](), list[str]()
    parts: dict[str, Callable[[], None]] = {
        "events": partial(backlog_figures, given.repeats, given.runs, spreads.update),
        "flow": partial(flow_figures, given.repeats, spreads.update),
    }
    for name in [given.part] if given.part else parts:
        try:
            with _limit(name, LIMITS_S[name]):
                parts[name]()
        except (Exception, SystemExit) as error:
            if not isinstance(error, SystemExit):
                traceback.print_exc()
            failed.append(f"{name}: {error}")
    if spreads:
        report("monitor", spreads, [key for key in KEYS if key in spreads])
    if failed:
        sys.exit("\n".join(failed))


@contextmanager
def _limit(part: str, seconds: int) -> Iterator[None]:
    """End the part with a reason when it takes longer. By SystemExit, which no task of asyncio keeps to itself."""

    def end(_: int, __: FrameType | None) -> None:
        sys.exit(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    print(f"{part}: at most {seconds} s", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    main()
