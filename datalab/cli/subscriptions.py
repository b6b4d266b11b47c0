"""`datalab subscriptions`: webhooks that want events, by the notifier's REST."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

Name = Annotated[str, typer.Argument(help="Name or id of the subscription.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Webhooks that want events of some types.", no_args_is_help=True)
    group.command("add")(add)
    group.command("list")(list_)
    group.command("test")(try_out)
    group.command("rotate")(rotate)
    group.command("remove")(remove)
    app.add_typer(group, name="subscriptions")


def add(
    name: Annotated[str, typer.Argument(help="A name of your choice.")],
    url: Annotated[str, typer.Argument(help="Where events are posted.")],
    types: Annotated[list[str], typer.Argument(help="Event types or patterns, such as 'lab.run.*'.")],
    as_json: Json = False,
) -> None:
    """Subscribe a webhook. Its secret is printed this once; the same subscription again changes nothing."""
    from datalab.cli.service_client import notifier

    with notifier() as client:
        body = {"name": name, "url": url, "event_types": types}
        made = client.call("POST", "/v1/subscriptions", json=body)
    if as_json:
        _print_json(made)
        return
    if made["secret"]:
        _say(f"subscribed {made['name']} at {made['address']} to {', '.join(made['event_types'])}")
        _say("secret, shown this once:")
        sys.stdout.write(made["secret"] + "\n")
    else:
        _say(f"{made['name']} is subscribed already; its secret stays (`datalab subscriptions rotate` makes another)")
    if not made["known_types"]:
        _say("note: no event type of the catalogue fits these types")


def list_(as_json: Json = False) -> None:
    """List the subscriptions."""
    from rich.console import Console
    from rich.table import Table

    from datalab.cli.service_client import notifier

    with notifier() as client:
        found = client.every("/v1/subscriptions", "subscriptions")
    if as_json:
        _print_json(found)
        return
    table = Table("name", "address", "event types", "state", box=None, pad_edge=False)
    for one in found:
        state = "active" if one["active"] else f"disabled: {one['disabled_reason'] or 'switched off'}"
        table.add_row(one["name"], one["address"], ", ".join(one["event_types"]), state)
    Console().print(table if found else "no subscriptions")


def try_out(name: Name, wait: Annotated[float, typer.Option(help="Seconds to wait for the outcome.")] = 20.0) -> None:
    """Send a test event and tell what came of it. Exits 1 unless it was delivered."""
    import time

    from datalab.cli.service_client import notifier, segment

    with notifier() as client:
        sent = client.call("POST", f"/v1/subscriptions/{segment(name)}:test")
        end = time.monotonic() + wait
        while True:
            delivery = client.call("GET", f"/v1/deliveries/{sent['delivery_id']}")
            if delivery["status"] != "pending" or time.monotonic() > end:
                break
            time.sleep(0.2)
    reason = f": {delivery['reason']}" if delivery["reason"] else ""
    _say(f"{delivery['status']}{reason} (delivery {delivery['id']}, attempts {delivery['attempts']})")
    raise typer.Exit(0 if delivery["status"] == "delivered" else 1)


def rotate(name: Name) -> None:
    """Give it a new secret, printed this once. The old one goes on signing beside it for a day."""
    from datalab.cli.service_client import notifier, segment

    with notifier() as client:
        made = client.call("POST", f"/v1/subscriptions/{segment(name)}:rotate-secret")
    _say("new secret, shown this once:")
    sys.stdout.write(made["secret"] + "\n")


def remove(name: Name) -> None:
    """Remove it. What was still due to it ends suppressed."""
    from datalab.cli.service_client import notifier, segment

    with notifier() as client:
        client.call("DELETE", f"/v1/subscriptions/{segment(name)}")
    _say(f"removed {name}")


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")
