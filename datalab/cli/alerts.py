"""`datalab alerts`: what is wrong and what was, by the monitor's REST."""

from __future__ import annotations

import getpass
import json
from typing import Annotated

import typer

from datalab.cli.alert_tests import run_tests

_COLOURS = {"critical": "red", "error": "red", "warning": "yellow", "info": "blue"}
_commands = typer.Typer(no_args_is_help=True, help="Alerts of the lab.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    _commands.command("test")(run_tests)
    app.add_typer(_commands, name="alerts")


@_commands.callback()
def alerts() -> None:
    """Alerts of the lab."""


@_commands.command("list")
def list_(
    status: Annotated[str | None, typer.Option(help="firing or resolved.")] = None,
    rule: Annotated[str | None, typer.Option(help="Name of an alert rule.")] = None,
    severity: Annotated[str | None, typer.Option(help="critical, error, warning or info.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List alerts, the newest first."""
    from rich.console import Console

    from datalab.cli.service_client import monitor

    wanted = {"status": status, "rule": rule, "severity": severity}
    with monitor() as client:
        filters = {name: value for name, value in wanted.items() if value is not None}
        found = client.every("/v1/alerts", "alerts", limit, **filters)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
        return
    console = Console(highlight=False)
    for one in found:
        console.print(f"{one['starts_at'][:19]}  {one['status']:<8}  ", end="", markup=False)
        console.print(f"{one['severity']:<8}", end="", style=_COLOURS[one["severity"]])
        console.print(f"  {one['rule']:<20}  {one['summary']}", markup=False, soft_wrap=True)
    if not found:
        console.print("no alerts")


@_commands.command()
def ack(
    alerts: Annotated[list[str], typer.Argument(help="Fingerprints or episodes.")],
    comment: Annotated[str, typer.Option(help="What you know, or do about it.")] = "",
    author: Annotated[str | None, typer.Option(help="Who takes it on, if not the user of this shell.")] = None,
) -> None:
    """Take alerts on: they are not told again and not escalated. Their end is told."""
    from datalab.cli.service_client import notifier, segment

    who = {"author": author or getpass.getuser(), "comment": comment}
    with notifier() as client:
        for key in alerts:
            shown = client.call("POST", f"/v1/alerts/{segment(key)}:acknowledge", json=who)
            typer.echo(f"{shown['summary']}: acknowledged by {shown['acked_by']} at {shown['acked_at'][:19]}Z")


@_commands.command()
def unack(alerts: Annotated[list[str], typer.Argument(help="Fingerprints or episodes.")]) -> None:
    """Give alerts back: they are told again in their turn."""
    from datalab.cli.service_client import notifier, segment

    with notifier() as client:
        for key in alerts:
            shown = client.call("POST", f"/v1/alerts/{segment(key)}:unacknowledge")
            typer.echo(f"{shown['summary']}: acknowledged by nobody")
