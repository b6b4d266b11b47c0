"""`datalab thresholds`: the limits of alert rules, by the monitor's REST."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from datalab.cli.service_client import ServiceClient

_commands = typer.Typer(no_args_is_help=True, help="Limits of alert rules.")
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Rule = Annotated[str, typer.Argument(help="Name of an alert rule.")]
_Name = Annotated[str, typer.Argument(help="Name of one of its limits.")]
_For = Annotated[str | None, typer.Option("--for", help="Of one deployment (flow/name) or one flow alone.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_commands, name="thresholds")


@_commands.command("list")
def list_(as_json: _Json = False) -> None:
    """List every limit with its default and its value."""
    from rich.console import Console
    from rich.table import Table

    from datalab.cli.service_client import monitor

    with monitor() as client:
        found = client.call("GET", "/v1/thresholds")
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
        return
    table = Table("rule", "limit", "value", "default", "unit", "rule is", "changed", box=None, pad_edge=False)
    for one in found["thresholds"]:
        changed = (one["updated_at"] or "")[:19]
        state = "on" if one["enabled"] else "off"
        table.add_row(one["rule"], one["name"], f"{one['value']:g}", f"{one['default']:g}", one["unit"], state, changed)
        for name, value in (one["overrides"] or {}).items():
            default = (one["default_overrides"] or {}).get(name, one["default"])
            table.add_row("", f"  {name}", f"{value:g}", f"{default:g}")
    Console().print(table)


@_commands.command("set")
def set_(
    rule: _Rule,
    name: _Name,
    value: Annotated[float, typer.Argument(help="The new limit.")],
    of: _For = None,
    as_json: _Json = False,
) -> None:
    """Set a limit, for all or for one deployment or flow. It holds for the next event."""
    from datalab.cli.service_client import monitor

    with monitor() as client:
        if of is None:
            changed = client.call("PUT", _path(rule, name), json={"value": value})
        else:
            changed = _override(client, _path(rule, name), of, value)
    _say(changed, of, as_json)


@_commands.command()
def unset(rule: _Rule, name: _Name, of: _For = None, as_json: _Json = False) -> None:
    """Take a limit back to its default, with all that was set for deployments; or what was set for one alone."""
    from datalab.cli.service_client import monitor

    with monitor() as client:
        if of is None:
            changed = client.call("DELETE", _path(rule, name))
        else:
            changed = _override(client, _path(rule, name), of, None)
    _say(changed, of, as_json)


@_commands.command()
def enable(rule: _Rule, as_json: _Json = False) -> None:
    """Let a rule raise alerts."""
    _switch(rule, True, as_json)


@_commands.command()
def disable(rule: _Rule, as_json: _Json = False) -> None:
    """Let a rule raise no alerts. Those that are open still end."""
    _switch(rule, False, as_json)


def _override(client: ServiceClient, path: str, of: str, value: float | None) -> Any:
    """Change one override and leave the others; refused if somebody else changes them at the same time."""
    now = client.call("GET", path)
    overrides = {name: limit for name, limit in (now["overrides"] or {}).items() if name != of}
    if value is None:
        value = (now["default_overrides"] or {}).get(of)
    if value is not None:
        overrides[of] = value
    return client.call("PUT", path, json={"overrides": overrides}, headers={"If-Match": now["etag"]})


def _switch(rule: str, enabled: bool, as_json: bool) -> None:
    from datalab.cli.service_client import monitor, segment

    with monitor() as client:
        changed = client.call("PUT", f"/v1/rules/{segment(rule)}", json={"enabled": enabled})
    if as_json:
        typer.echo(json.dumps(changed, ensure_ascii=False, indent=1))
    else:
        typer.echo(f"{changed['rule']} is {'on' if changed['enabled'] else 'off'}")


def _path(rule: str, name: str) -> str:
    from datalab.cli.service_client import segment

    return f"/v1/thresholds/{segment(rule)}/{segment(name)}"


def _say(changed: dict[str, Any], of: str | None, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(changed, ensure_ascii=False, indent=1))
        return
    value = changed["value"] if of is None else (changed["overrides"] or {}).get(of, changed["value"])
    typer.echo(f"{changed['rule']} {changed['name']}{f' for {of}' if of else ''} is {value:g} {changed['unit']}")
