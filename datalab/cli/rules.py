"""`datalab rules …`: what the bridge's rules are, whether they are right, and what they say about an event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datalab.cli.rule_backtest import backtest
from datalab.cli.rule_explanation import explain

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
    """List the rules as they are in their files."""
    book = _book(folder)
    if as_json:
        typer.echo(json.dumps([rule.spec.model_dump() for rule in book.rules], ensure_ascii=False, indent=2))
        return
    for rule in book.rules:
        typer.echo(f"{rule.name}: {rule.spec.description}")
        typer.echo(f"  on {', '.join(rule.spec.on)} where {rule.spec.where} run {rule.spec.run.deployment}")


@_commands.command()
def check(folder: _Folder = None) -> None:
    """Check all rules; name file, line and field of each fault.

    Exit codes: 0 all are right; 1 there are faults.
    """
    book = _book(folder)
    typer.echo(f"{len(book.rules)} rules are right.")


def _book(folder: Path | None) -> RuleBook:
    from datalab.runtime.settings import LabSettings
    from services.bridge.rule_files import load_rules

    return load_rules(folder or LabSettings().datalab_config_dir / "rules")
