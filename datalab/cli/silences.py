"""`datalab silences …`: alerts that nobody is told for a while; by the notifier's REST."""

from __future__ import annotations

import getpass
import json
from typing import Annotated, Any

import typer

_commands = typer.Typer(no_args_is_help=True, help="Alerts that nobody is told for a while.")
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Author = Annotated[str | None, typer.Option(help="Who says so, if not the user of this shell.")]
_COLOURS = {"active": "yellow", "pending": "blue", "expired": "dim"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_commands, name="silences")


@_commands.command()
def add(  # noqa: PLR0913, PLR0917 - the options of the command
    comment: Annotated[str, typer.Option(help="Why.")],
    for_: Annotated[str | None, typer.Option("--for", help="How long: 30m, 2h, 1d.")] = None,
    until: Annotated[str | None, typer.Option(help="Until when: 2026-12-01T08:00:00Z.")] = None,
    start: Annotated[str | None, typer.Option(help="From when, if not now.")] = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="Rule of the alert; * and ? may be used; may be repeated.")
    ] = None,
    severity: Annotated[
        list[str] | None, typer.Option(help="critical, error, warning or info; may be repeated.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of a label; may be repeated.")] = None,
    author: _Author = None,
    as_json: _Json = False,
) -> None:
    """Silence the alerts that match all of it, for a while."""
    from datalab.cli.service_client import notifier

    wish: dict[str, Any] = {
        "matchers": {"rule": rule or [], "severity": severity or [], "labels": _labels(label or [])},
        "author": author or getpass.getuser(),
        "comment": comment,
    }
    wish |= {k: v for k, v in {"duration": for_, "ends_at": until, "starts_at": start}.items() if v is not None}
    with notifier() as client:
        made = client.call("POST", "/v1/silences", json=wish)
    if as_json:
        typer.echo(json.dumps(made, ensure_ascii=False, indent=1))
        return
    typer.echo(f"{made['state']} until {made['ends_at'][:19]}Z: {made['id']}")
    fitting = made["alerts"] or []
    typer.echo(
        f"{len(fitting)} alert(s) that fire now match{': ' if fitting else ''}{', '.join(fitting[:10])}", err=True
    )


@_commands.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="active, pending or expired.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 30,
    as_json: _Json = False,
) -> None:
    """List silences, the newest first."""
    from rich.console import Console

    from datalab.cli.service_client import notifier

    with notifier() as client:
        found = client.every("/v1/silences", "silences", limit, **({"state": state} if state else {}))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
        return
    console = Console(highlight=False)
    for one in found:
        console.print(f"{one['state']:<8}", end="", style=_COLOURS[one["state"]])
        until = f"until {one['ends_at'][:19]}Z"
        line = f"  {until}  {_matched(one['matchers'])}  {one['author']}: {one['comment']}  {one['id']}"
        console.print(line, markup=False, soft_wrap=True)
    if not found:
        console.print("no silences")


@_commands.command()
def expire(ids: Annotated[list[str], typer.Argument(help="Ids of silences.")], author: _Author = None) -> None:
    """End silences now. What they kept back and still fires is told."""
    from datalab.cli.service_client import notifier, segment

    with notifier() as client:
        for id_ in ids:
            body = {"author": author or getpass.getuser()}
            client.call("POST", f"/v1/silences/{segment(id_)}:expire", json=body)
            typer.echo(f"expired: {id_}", err=True)


def _labels(pairs: list[str]) -> dict[str, list[str]]:
    labels: dict[str, list[str]] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise ValueError(f"--label {pair}: write it as NAME=VALUE")
        labels.setdefault(name, []).append(value)
    return labels


def _matched(matchers: dict[str, Any]) -> str:
    parts = {"severity": matchers["severity"], "rule": matchers["rule"], **matchers["labels"]}
    return ", ".join(f"{name}={'|'.join(values)}" for name, values in parts.items() if values)
