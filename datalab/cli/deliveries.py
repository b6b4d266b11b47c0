"""`datalab deliveries`: what was due to whom, what became of it, and sending it again; by the notifier's REST."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

_COLOURS = {"delivered": "green", "pending": "yellow", "suppressed": "dim", "dead": "red"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Deliveries of alerts and events.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("replay")(replay)
    app.add_typer(group, name="deliveries")


def list_(
    status: Annotated[str | None, typer.Option(help="pending, delivered, suppressed or dead.")] = None,
    channel: Annotated[str | None, typer.Option(help="email, slack, teams or webhook.")] = None,
    event: Annotated[str | None, typer.Option(help="Id of an event.")] = None,
    correlation: Annotated[str | None, typer.Option(help="Id of a chain of events.")] = None,
    fingerprint: Annotated[str | None, typer.Option(help="Of an alert.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List deliveries, the newest first."""
    from rich.console import Console

    from datalab.cli.service_client import notifier

    wanted = {
        "status": status,
        "channel": channel,
        "event_id": event,
        "correlation_id": correlation,
        "fingerprint": fingerprint,
    }
    filters = {name: value for name, value in wanted.items() if value is not None}
    with notifier() as client:
        found = client.every("/v1/deliveries", "deliveries", limit, **filters)
    if as_json:
        sys.stdout.write(json.dumps(found, ensure_ascii=False, indent=1) + "\n")
        return
    console = Console(highlight=False)
    for one in found:
        colour = _COLOURS[one["status"]]
        reason = f"  {one['reason']}" if one["reason"] else ""
        console.print(f"{one['created_at'][:19]}  ", end="", markup=False)
        console.print(f"{one['status']:<10}", end="", style=colour)
        line = f"  {one['channel']:<8} {one['target']:<16} {one['event_type']:<26} {one['id']}{reason}"
        console.print(line, markup=False, soft_wrap=True)
    if not found:
        console.print("no deliveries")


def replay(ids: Annotated[list[str], typer.Argument(help="Ids of deliveries.")]) -> None:
    """Send finished deliveries again, under the same ids, so that a receiver can recognise them."""
    from datalab.cli.service_client import notifier, segment

    with notifier() as client:
        for delivery_id in ids:
            client.call("POST", f"/v1/deliveries/{segment(delivery_id)}:replay")
            typer.echo(f"due again: {delivery_id}", err=True)
