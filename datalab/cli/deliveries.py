"""`datalab deliveries`: what was due to whom, what became of it, and sending it again; by the notifier's REST."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

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


def replay(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of deliveries; or choose by the options.")] = None,
    target: Annotated[str | None, typer.Option(help="All that this subscription or receiver did not get.")] = None,
    since: Annotated[str | None, typer.Option(help="What became due since: 2026-11-28T10:00, 6h, 2d.")] = None,
    until: Annotated[str | None, typer.Option(help="What became due before.")] = None,
    status: Annotated[list[str] | None, typer.Option(help="suppressed, dead, delivered; repeatable.")] = None,
    rate: Annotated[float, typer.Option(help="At most so many a second.")] = 10.0,
) -> None:
    """Send finished deliveries again, under the same ids, so that a receiver can recognise them."""
    from datalab.cli.service_client import notifier, segment
    from datalab.cli.times import since as time_of

    now = datetime.now(UTC)
    if bool(ids) == bool(target or since):
        raise ValueError("replay: name deliveries by their ids, or choose them by --target or --since")
    with notifier() as client:
        for delivery_id in ids or ():
            client.call("POST", f"/v1/deliveries/{segment(delivery_id)}:replay")
            typer.echo(f"due again: {delivery_id}", err=True)
        if not ids:
            body: dict[str, Any] = {"per_s": rate} | ({"target": target} if target else {})
            for name, given in (("since", since), ("until", until)):
                if given and (at := time_of(given, now, f"--{name}")):
                    body[name] = at.isoformat()
            done = client.call("POST", "/v1/deliveries:replay", json=body | ({"status": status} if status else {}))
            typer.echo(f"due again: {done['replayed']}, over {done['over_s']:.0f} s", err=True)
