"""`datalab rules …`: what the bridge's rules are, whether they are right, and what they say about an event."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datalab.cli.rule_backtest import backtest

if TYPE_CHECKING:
    from schemas.envelope import Event
    from services.bridge.decisions import Decision
    from services.bridge.rules import RuleBook

_commands = typer.Typer(no_args_is_help=True, help="The rules by which events start flows.")
_Json = Annotated[bool, typer.Option("--json", help="One JSON object.")]
_Folder = Annotated[Path | None, typer.Option("--dir", help="Where the rules are, if not config/rules.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    _commands.command("test")(backtest)
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


@_commands.command()
def explain(
    event_id: Annotated[str, typer.Argument(help="The id of an event on Kafka.")],
    as_json: _Json = False,
    folder: _Folder = None,
) -> None:
    """Say of every rule whether it matches an event, and why not; and which runs the event has started.

    Exit codes: 0 the event was found; 1 it was not, or Kafka is away.
    """
    from services.bridge.decisions import decide

    book = _book(folder)
    event = asyncio.run(_find(event_id))
    decisions = [decide(rule, event) for rule in book.rules]
    started = _started(event_id)
    if as_json:
        typer.echo(json.dumps(_as_json(event, decisions, started), ensure_ascii=False, indent=2))
        return
    typer.echo(f"{event.type} {event.id} about {event.subject}")
    for decision in decisions:
        said = f"parameters {json.dumps(decision.parameters, ensure_ascii=False)}" if not decision.reason else ""
        typer.echo(f"  {decision.rule.name}: {decision.outcome}  {decision.reason or said}")
    for trigger in started or ():
        run = f"run {trigger['flow_run_id']} {trigger['run_state'] or ''}" if trigger["flow_run_id"] else ""
        typer.echo(f"  trigger {trigger['rule']}: {trigger['status']}  {run or trigger['reason'] or ''}")
    if started is None:
        typer.echo("The bridge does not answer, so what was started is not shown.", err=True)


def _book(folder: Path | None) -> RuleBook:
    from datalab.runtime.settings import LabSettings
    from services.bridge.rule_files import load_rules

    return load_rules(folder or LabSettings().datalab_config_dir / "rules")


async def _find(event_id: str) -> Event:
    from datalab.local.addresses import lab_addresses
    from datalab.trace.events import find_event

    return (await find_event(lab_addresses().kafka, event_id))[1]


def _started(event_id: str) -> list[dict[str, Any]] | None:
    """The triggers of this very event, from the running bridge; None if it does not answer."""
    import httpx

    from datalab.local.addresses import lab_addresses

    try:
        answer = httpx.get(
            f"{lab_addresses().bridge}/v1/triggers", params={"event_id": event_id}, timeout=5, trust_env=False
        )
        triggers: list[dict[str, Any]] = answer.raise_for_status().json()["triggers"]
    except httpx.HTTPError:
        return None
    return triggers


def _as_json(event: Event, decisions: list[Decision], started: list[dict[str, Any]] | None) -> dict[str, Any]:
    return {
        "event": event.model_dump(mode="json", exclude_none=True),
        "rules": [
            {"rule": d.rule.name, "outcome": d.outcome, "reason": d.reason, "parameters": d.parameters, "tags": d.tags}
            for d in decisions
        ],
        "triggers": started,
    }
