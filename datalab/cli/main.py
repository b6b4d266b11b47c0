"""The `datalab` command: it only joins the commands together."""

from __future__ import annotations

import importlib
import sys

import typer

# Each module registers its commands; their own imports stay inside the commands, so that `--help` is fast.
_COMMANDS = (
    "up",
    "down",
    "status",
    "doctor",
    "fetch",
    "demo",
    "publish",
    "events",
    "rules",
    "dlq",
    "tokens",
    "subscriptions",
    "deliveries",
    "backup",
    "quarantine",
    "alerts",
    "thresholds",
    "notify",
    "silences",
)


def build_app() -> typer.Typer:
    """The application with every command."""
    app = typer.Typer(
        name="datalab",
        help="DataFlow Lab: events start flows, flows report back, alerts arrive.",
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,
        rich_markup_mode=None,
        add_completion=False,
    )
    for name in _COMMANDS:
        importlib.import_module(f"datalab.cli.{name}").register(app)
    return app


def main() -> None:
    """Console entry. A missing part of the lab is one line, not a traceback."""
    import httpx

    try:
        build_app()()
    except (ConnectionError, TimeoutError, ValueError, LookupError, httpx.HTTPError) as error:
        sys.stderr.write(f"datalab: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
