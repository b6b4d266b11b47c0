"""`datalab rules explain EVENT_ID`: what each rule says about one event, and which part of its condition decided."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from schemas.envelope import Event
    from services.bridge.decisions import Decision
    from services.bridge.explaining import Part

_MARKS = {"holds": "✓", "false": "✗", "fails": "!", "unasked": "·"}
_WIDEST_PART, _LONGEST_VALUE = 60, 80


def explain(
    event_id: Annotated[str, typer.Argument(help="The id of an event on Kafka.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    rule: Annotated[list[str] | None, typer.Option(help="Only this rule; may be repeated.")] = None,
    folder: Annotated[Path | None, typer.Option("--dir", help="Where the rules are, if not config/rules.")] = None,
) -> None:
    """Say of every rule whether it matches an event, and which part of its condition held (✓), was false (✗), failed
    (!) or was not asked (·), with the values it looked at; and which runs the event has started.

    Exit codes: 0 the event was found; 1 it was not, there is no such rule, or Kafka is away.
    """
    from datalab.runtime.settings import LabSettings
    from services.bridge.explaining import explain as explained
    from services.bridge.rule_files import load_rules

    book = load_rules(folder or LabSettings().datalab_config_dir / "rules")
    if unknown := set(rule or ()) - {known.name for known in book.rules}:
        raise LookupError(f"--rule: there is no rule {', '.join(sorted(unknown))}; `datalab rules list` shows them")
    event = asyncio.run(_find(event_id))
    found = [explained(one, event) for one in book.rules if not rule or one.name in rule]
    started = _started(event_id)
    if as_json:
        typer.echo(json.dumps(_as_json(event, found, started), ensure_ascii=False, indent=2))
        return
    typer.echo(f"{event.type} {event.id} about {event.subject}")
    for decision, parts in found:
        _tell(decision, parts)
    for trigger in started or ():
        run = f"run {trigger['flow_run_id']} {trigger['run_state'] or ''}" if trigger["flow_run_id"] else ""
        typer.echo(f"  trigger {trigger['rule']}: {trigger['status']}  {run or trigger['reason'] or ''}")
    if started is None:
        typer.echo("The bridge does not answer, so what was started is not shown.", err=True)


def _tell(decision: Decision, parts: list[Part]) -> None:
    said = f"parameters {json.dumps(decision.parameters, ensure_ascii=False)}" if not decision.reason else ""
    typer.echo(f"  {decision.rule.name}: {decision.outcome}  {decision.reason or said}")
    width = min(_WIDEST_PART, max(len(part.source) for part in parts))
    for part in parts:
        seen = [f"{field} = {_short(value)}" for field, value in part.values.items()]
        seen += [f"{field} is not there" for field in part.absent]
        told = "; ".join([*seen, *([part.reason] if part.verdict == "fails" else [])])
        typer.echo(f"    {_MARKS[part.verdict]} {' '.join(part.source.split()):<{width}}  {told}".rstrip())


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


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


def _as_json(
    event: Event, found: list[tuple[Decision, list[Part]]], started: list[dict[str, Any]] | None
) -> dict[str, Any]:
    return {
        "event": event.model_dump(mode="json", exclude_none=True),
        "rules": [
            {
                "rule": decision.rule.name,
                "outcome": decision.outcome,
                "reason": decision.reason,
                "conditions": [part.to_json() for part in parts],
                "parameters": decision.parameters,
                "tags": decision.tags,
            }
            for decision, parts in found
        ],
        "triggers": started,
    }
