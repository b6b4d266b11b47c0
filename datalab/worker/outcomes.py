"""What a run's end means, in words: for Prefect's state and for people. Decides only."""

from __future__ import annotations

import signal
from collections.abc import Iterable

from prefect._internal.infrastructure_exit_codes import get_infrastructure_exit_info

from datalab.worker.protocol import Ended

_LINE = 300


def crash_message(ended: Ended, broke: str | None, last_lines: Iterable[str]) -> str:
    """Why a run crashed: the reason first, what it used, and the last that it printed."""
    words = [broke or _exit(ended)]
    if ended.cpu_s is not None and ended.peak_bytes is not None:
        words.append(f"It used {ended.cpu_s:.1f} s of CPU and at most {ended.peak_bytes >> 20} MiB of memory.")
    text = " ".join(words)
    if lines := [line[:_LINE] for line in last_lines]:
        text += "\nIts last lines:\n" + "\n".join(lines)
    return text


def _exit(ended: Ended) -> str:
    code = ended.exit_code
    if code is None:
        return "Its process has ended; how is not known, as the process that started it died before."
    if code == 0:
        return "Its process ended with exit code 0 before the run reported an end."
    if code < 0:
        return f"Its process was ended by {_signal(-code)}."
    return f"Its process ended with exit code {code}. {get_infrastructure_exit_info(code).explanation}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
