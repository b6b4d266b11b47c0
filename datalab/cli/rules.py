"""`datalab rules …`: what the bridge's rules are, whether they are right, and what they say about an event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datalab.cli.rule_backtest import backtest
from datalab.cli.rule_explanation import explain
from datalab.cli.service_client import bridge, segment

if TYPE_CHECKING:
    from services.bridge.rules import RuleBook

_commands = typer.Typer(no_args_is_help=True, help="The rules by which events start flows.")
_Json = Annotated[bool, typer.Option("--json", help="One JSON object.")]
_Folder = Annotated[Path | None, typer.Option("--dir", help="Where the rules are, if not config/rules.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    _commands.command("test")(backtest)
    _commands.command("explain")(explain)
    app.add_typer(_commands, name="rules")


@_commands.command("list")
def list_(as_json: _Json = False, folder: _Folder = None) -> None:
    """List the rules as they are in their files, and how the running bridge goes about them."""
    book, running = _book(folder), _running()
    if as_json:
        rules = [
            rule.spec.model_dump(mode="json") | {"in_force": (running or {}).get(rule.name)} for rule in book.rules
        ]
        typer.echo(json.dumps(rules, ensure_ascii=False, indent=2))
        return
    for rule in book.rules:
        typer.echo(f"{rule.name}: {rule.spec.description}")
        when = f" when {rule.spec.when.kind}" if rule.windowed else ""
        typer.echo(f"  on {', '.join(rule.spec.on)} where {rule.spec.where}{when} run {rule.spec.run.deployment}")
        if told := (running or {}).get(rule.name):
            if told["paused"] is not None:
                typer.echo(f"  PAUSED since {told['paused_since']}: {told['paused']}")
            if told["waiting"]:
                typer.echo(f"  {told['waiting']} wait")
    if running is None:
        typer.echo("The bridge does not answer, so neither pauses nor what waits is shown.", err=True)


@_commands.command()
def pause(
    name: Annotated[str, typer.Argument(help="The rule.")],
    reason: Annotated[str, typer.Option(help="Told to all who ask.")] = "by a person",
) -> None:
    """Have a rule start nothing from now on; what it matches waits.

    Exit codes: 0 it is paused; 1 there is no such rule, or the bridge does not answer.
    """
    with bridge() as service:
        answer = service.call("POST", f"/v1/rules/{segment(name)}:pause", json={"reason": reason})
    typer.echo(f"{name} is paused." if answer["changed"] else f"{name} was paused already: {answer['reason']}")


@_commands.command()
def resume(name: Annotated[str, typer.Argument(help="The rule.")]) -> None:
    """Let a paused rule go on: what waits is started, in order.

    Exit codes: 0 it is not paused; 1 there is no such rule, or the bridge does not answer.
    """
    with bridge() as service:
        answer = service.call("POST", f"/v1/rules/{segment(name)}:resume")
    typer.echo(f"{name} goes on." if answer["changed"] else f"{name} was not paused.")


@_commands.command()
def check(folder: _Folder = None) -> None:
    """Check all rules; name file, line and field of each fault.

    Exit codes: 0 all are right; 1 there are faults.
    """
    book = _book(folder)
    typer.echo(f"{len(book.rules)} rules are right.")


def _running() -> dict[str, Any] | None:
    """The rules of the running bridge by name; None if it does not answer."""
    try:
        with bridge() as service:
            return {rule["name"]: rule for rule in service.call("GET", "/v1/rules")["rules"]}
    except (ConnectionError, ValueError):
        return None


def _book(folder: Path | None) -> RuleBook:
    from datalab.runtime.settings import LabSettings
    from services.bridge.rule_files import load_rules

    return load_rules(folder or LabSettings().datalab_config_dir / "rules")
