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
    group.command("handshake")(handshake)
    group.command("enable")(enable)
    group.command("disable")(disable)
    group.command("rotate")(rotate)
    group.command("remove")(remove)
    app.add_typer(group, name="subscriptions")


def add(
    name: Annotated[str, typer.Argument(help="A name of your choice.")],
    url: Annotated[str, typer.Argument(help="Where events are posted.")],
    types: Annotated[list[str] | None, typer.Argument(help="Types or patterns ('lab.run.*'). Default: alerts.")] = None,
    match: Annotated[
        list[str] | None,
        typer.Option(help="Only such alerts: severity=critical, rule=flow-*, LABEL=VALUE; repeatable."),
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Who hears when it is switched off, by mail if an address.")] = None,
    ordering: Annotated[str, typer.Option(help="none, subject, or all: one after the other.")] = "none",
    signature: Annotated[str, typer.Option(help="v1, or v1+v1a for ed25519, too.")] = "v1",
    as_json: Json = False,
) -> None:
    """Subscribe a webhook. Its secret is printed this once; the same subscription again changes nothing."""
    from datalab.cli.service_client import notifier

    body: dict[str, Any] = {"name": name, "url": url, "ordering": ordering, "signature": signature}
    body |= {"event_types": types} if types else {}
    body |= {"match": matchers(match)} if match else {}
    body |= {"owner": owner} if owner else {}
    with notifier() as client:
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
    if made["public_key"]:
        _say(f"public key, for v1a: {made['public_key']}")
    if not made["known_types"]:
        _say("note: no event type of the catalogue fits these types")
    _say_consent(made)


def matchers(given: list[str]) -> dict[str, Any]:
    """The matchers in `severity=…`, `rule=…` and `LABEL=…`; those of one name are alternatives. Raises ValueError."""
    found: dict[str, Any] = {"labels": {}}
    for one in given:
        name, equals, value = one.partition("=")
        if not (equals and name and value):
            raise ValueError(f"--match {one!r}: must be severity=…, rule=… or LABEL=…")
        place = found if name in {"severity", "rule"} else found["labels"]
        place.setdefault(name, []).append(value)
    return found


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
    table = Table("name", "address", "event types", "owner", "state", box=None, pad_edge=False)
    for one in found:
        table.add_row(one["name"], one["address"], ", ".join(one["event_types"]), one["owner"] or "", state_of(one))
    Console().print(table if found else "no subscriptions")


def state_of(one: dict[str, Any]) -> str:
    """What a subscription does now, in a few words."""
    if not one["active"]:
        return f"disabled: {one['disabled_reason'] or 'switched off'}"
    if one["consent"] is None:
        return "has not agreed to receive"
    rate = f", {one['allowed_per_min']} a minute" if one["allowed_per_min"] else ""
    return f"failing since {one['failing_since'][:16]}" if one["failing_since"] else f"active{rate}"


def handshake(name: Name) -> None:
    """Ask the endpoint again whether it agrees to receive. Exits 1 unless it does."""
    from datalab.cli.service_client import notifier, segment

    with notifier() as client:
        asked = client.call("POST", f"/v1/subscriptions/{segment(name)}:handshake")
    _say_consent(asked)
    if asked["consent"]:
        _say(f"{asked['name']} has agreed by {asked['consent']}")
    raise typer.Exit(0 if asked["consent"] else 1)


def enable(name: Name) -> None:
    """Switch it on. `datalab deliveries replay --target NAME` sends what it missed."""
    _switch(name, active=True)


def disable(name: Name) -> None:
    """Switch it off. What it misses is kept, and can be replayed."""
    _switch(name, active=False)


def _switch(name: str, *, active: bool) -> None:
    from datalab.cli.service_client import notifier, segment

    with notifier() as client:
        changed = client.call("PATCH", f"/v1/subscriptions/{segment(name)}", json={"active": active})
    _say(f"{changed['name']}: {state_of(changed)}")


def _say_consent(one: dict[str, Any]) -> None:
    if one["consent"] is None:
        _say(f"nothing is sent to it yet: {one['consent_reason']}")
        _say(f"once the endpoint agrees: datalab subscriptions handshake {one['name']}")


def try_out(name: Name, wait: Annotated[float, typer.Option(help="Seconds to wait for the outcome.")] = 20.0) -> None:
    """Send a test event and tell what came of it. Exits 1 unless it was delivered."""
    from datalab.cli.service_client import notifier, segment

    with notifier() as client:
        sent = client.call("POST", f"/v1/subscriptions/{segment(name)}:test")
        delivery = client.settled_delivery(sent["delivery_id"], wait)
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
