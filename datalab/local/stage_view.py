"""Showing a lab that starts: a live table on a terminal, else a line per event. Messages only, so on stderr."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from datalab.local.state import WELL, LabState, PartStatus

_REMIND_SECONDS = 5.0
_COLOURS = {
    "ready": "green",
    "done": "green",
    "starting": "yellow",
    "waiting": "dim",
    "failed": "red",
    "backing-off": "red",
    "unhealthy": "red",
}


class StageView:
    """A context manager; call `show` with each new state."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._told: dict[str, tuple[str, int]] = {}
        self._reminded = time.monotonic()

    def __enter__(self) -> StageView:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the live table away. Idempotent."""
        if self._live:
            self._live.stop()
            self._live = None

    def show(self, state: LabState) -> None:
        if self._live:
            self._live.update(stage_table(state), refresh=True)
            # What the table has shown need not be said again once it is gone.
            self._told = {part.name: (part.state, part.restarts) for part in state.parts.values()}
            return
        for part in state.parts.values():
            self._tell(part)
        self._remind(state)

    def _tell(self, part: PartStatus) -> None:
        now = (part.state, part.restarts)
        if self._told.get(part.name) == now:
            return
        self._told[part.name] = now
        if part.state in WELL:
            self._print(f"{part.name}: {part.state} after {part.start_seconds:.1f} s")
            self._reminded = time.monotonic()
        elif part.state in ("backing-off", "failed", "unhealthy"):
            self._print(f"{part.name}: {part.state}: {part.reason}")

    def _remind(self, state: LabState) -> None:
        if state.phase != "starting" or time.monotonic() - self._reminded < _REMIND_SECONDS:
            return
        self._reminded = time.monotonic()
        self._print(f"waiting for {waited_for(state)}")

    def _print(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


def waited_for(state: LabState) -> str:
    """What is still on its way, with what each of them lacks."""
    starting = [part for part in state.parts.values() if part.state not in (*WELL, "waiting")]
    waiting = [part.name for part in state.parts.values() if part.state == "waiting"]
    named = ", ".join(f"{part.name} ({part.reason or part.state})" for part in starting)
    return named + (f"; then {', '.join(waiting)}" if waiting else "")


def stage_table(state: LabState) -> Table:
    """One row per stage, with its time so far or in all."""
    table = Table(title=f"datalab · {state.home}", title_justify="left", box=None, padding=(0, 2))
    for column in ("stage", "state", "seconds", "note"):
        table.add_column(column, justify="right" if column == "seconds" else "left")
    for part in state.parts.values():
        taken = part.start_seconds
        if taken is None and part.since and part.state == "starting":
            taken = time.time() - part.since
        note = part.reason or (part.url if part.state == "ready" else "") or ""
        seconds = f"{taken:.1f}" if taken else ""
        table.add_row(part.name, Text(part.state, _COLOURS.get(part.state, "")), seconds, Text(note))
    return table
