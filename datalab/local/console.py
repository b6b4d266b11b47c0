"""Where messages and data go: messages to stderr, data to stdout, both plain when nobody watches or NO_COLOR is set."""

from __future__ import annotations

from rich.console import Console


def messages() -> Console:
    """For what a person reads while waiting. rich itself honours NO_COLOR and sees whether it is a terminal."""
    return Console(stderr=True, highlight=False)


def data() -> Console:
    """For what was asked for: wide enough for a table, so that a narrow window wraps lines but cuts no word."""
    console = Console(highlight=False)
    return Console(highlight=False, width=max(console.width, 150))
