"""What a flow refuses, as a command says it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def plain_errors() -> Iterator[None]:
    """What the lake refuses is one line on stderr, and 1."""
    from flows.errors import FlowError

    try:
        yield
    except FlowError as error:
        typer.echo(f"datalab: {error}", err=True)
        raise typer.Exit(1) from error
