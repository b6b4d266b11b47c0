"""`datalab rules test FILE`: what rules would have started, over the events that Kafka still holds."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datalab.cli.times import since as time_of

if TYPE_CHECKING:
    from services.bridge.backtest import Backtest, Finding
    from services.bridge.rules import RuleBook

_MARKS = {"same": " ", "other": "~", "new": "+", "gone": "-", "fails": "!"}
_WORDS = {"same": "as now", "other": "other run", "new": "new", "gone": "no longer", "fails": "fails"}
_TELL_EVERY = 20_000


def backtest(
    file: Annotated[Path, typer.Argument(help="A file of rules, in force or not.", exists=True, dir_okay=False)],
    since: Annotated[str, typer.Option("--from", help="beginning, 10m, 2h, 7d, or a time in ISO 8601")] = "beginning",
    limit: Annotated[int, typer.Option(min=1, help="Show so many events of each rule; all are counted.")] = 20,
    only_changes: Annotated[bool, typer.Option("--changes", help="Show only what differs from now.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, with all events.")] = False,
    folder: Annotated[Path | None, typer.Option("--dir", help="Where the rules in force are.")] = None,
) -> None:
    """Show which runs the rules of FILE would have started, and what differs from the rules of the same names in force.

    Nothing is started. Exit codes: 0 the rules could be applied to every event; 1 one fails on some event, or Kafka is
    away, or FILE is wrong.
    """
    from datalab.runtime.settings import LabSettings
    from services.bridge.rule_files import load_rule_file, load_rules

    tested = load_rule_file(file)
    in_force = load_rules(folder or LabSettings().datalab_config_dir / "rules")
    results = asyncio.run(_over_history(tested, in_force, time_of(since, datetime.now(UTC))))
    if as_json:
        typer.echo(json.dumps([result.to_json() for result in results], ensure_ascii=False, indent=2))
    else:
        for result in results:
            _print(result, limit, only_changes=only_changes)
    if any(result.counts()["fails"] for result in results):
        raise typer.Exit(1)


async def _over_history(tested: RuleBook, in_force: RuleBook, since: datetime | None) -> list[Backtest]:
    from datalab.bus.reader import read_events
    from datalab.local.addresses import lab_addresses
    from datalab.trace.events import event_topics
    from services.bridge.backtest import Backtest

    now = {rule.name: rule for rule in in_force.rules}
    results = [Backtest(rule, now.get(rule.name)) for rule in tested.rules]
    kafka = lab_addresses().kafka
    wanted = {*tested.topics, *in_force.topics} & set(await event_topics(kafka))
    read = 0
    async for place, event in read_events(kafka, sorted(wanted), since=since):
        read += 1
        for result in results:
            result.look_at(str(place), event)
        if read % _TELL_EVERY == 0:
            typer.echo(f"{read} events read, up to {event.time.isoformat(timespec='seconds')}", err=True)
    for result in results:
        result.finish(datetime.now(UTC))
    return results


def _print(result: Backtest, limit: int, *, only_changes: bool) -> None:
    in_force = f"against {result.in_force.origin}" if result.in_force else "no rule of this name is in force"
    typer.echo(f"{result.rule.name}: {result.would_start} runs out of {result.read} events ({in_force})")
    counted = [f"{count} {_WORDS[change]}" for change, count in result.counts().items() if count]
    typer.echo(f"  {', '.join(counted) or 'no event concerns it'}")
    shown = [finding for finding in result.findings if not only_changes or finding.change != "same"]
    for finding in shown[:limit]:
        typer.echo(_line(finding))
    if len(shown) > limit:
        typer.echo(f"  and {len(shown) - limit} more; --limit shows them, --json all")


def _line(finding: Finding) -> str:
    event = finding.event
    decision = finding.tested
    if finding.change == "gone" and decision.reason:
        said = decision.reason
    elif finding.change == "other" and finding.in_force is not None:
        now, then = (_run(d.rule.spec.run.deployment, d.parameters) for d in (finding.in_force, decision))
        said = f"{now}  ->  {then}"
    else:
        said = decision.reason or _run(decision.rule.spec.run.deployment, decision.parameters)
    at = f"{event.time.astimezone():%Y-%m-%d %H:%M:%S}"
    more = f" and {len(finding.event_ids) - 1} before it" if len(finding.event_ids) > 1 else ""
    return f"{_MARKS[finding.change]} {at}  {event.subject}  {event.id}{more}  {said}"


def _run(deployment: str, parameters: dict[str, object]) -> str:
    return f"{deployment} {json.dumps(parameters, ensure_ascii=False)}"
