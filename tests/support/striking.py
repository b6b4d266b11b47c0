"""Killing a process of the lab (SIGKILL) at a named step of its own work: what tests put into that process, before it
runs. `KILL_AT=STEP:N` names the step and kills at the N-th time."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

Strike = Callable[[], None]
Steps = Mapping[str, Callable[[Strike], None]]


def arm(steps: Steps) -> None:
    """Put in place what the environment asks for, if anything."""
    if not (wanted := os.environ.get("KILL_AT")):
        return
    step, _, times = wanted.partition(":")
    left = int(times or 1)

    def strike() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    steps[step](strike)


def before(owner: Any, name: str, strike: Strike) -> None:
    """Strike each time the coroutine function is called."""
    original = getattr(owner, name)

    @wraps(original)
    async def struck(*args: Any, **kwargs: Any) -> Any:
        strike()
        return await original(*args, **kwargs)

    setattr(owner, name, struck)


def after(owner: Any, name: str, strike: Strike, *, only: Any = None, if_any: bool = False) -> None:
    """Strike each time it has returned; with `only`, when that is the first argument after self; with `if_any`, when
    the answer is not empty."""
    original = getattr(owner, name)

    @wraps(original)
    async def struck(*args: Any, **kwargs: Any) -> Any:
        result = await original(*args, **kwargs)
        if (only is None or (len(args) > 1 and args[1] is only)) and (result or not if_any):
            strike()
        return result

    setattr(owner, name, struck)
