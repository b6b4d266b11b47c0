"""`datalab dlq …`: look at dead letters and publish them again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datalab.cli.times import since as time_of

if TYPE_CHECKING:
    from services.bridge.dead_letters import DeadLetter, Selection
    from services.bridge.replaying import Replay

_commands = typer.Typer(no_args_is_help=True, help="Dead letters: records that could not be handled.")
_Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
_Group = Annotated[str, typer.Option(help="Only those that this consumer group gave up.")]
_Rule = Annotated[str, typer.Option(help="Only those for which this rule could not start its run.")]
_Error = Annotated[str, typer.Option(help="Only those with this class of error, such as PrefectRefused.")]
_Topic = Annotated[str, typer.Option(help="Only those that came from this topic.")]
_Type = Annotated[str, typer.Option("--type", help="Only events of this type.")]
_Event = Annotated[str, typer.Option(help="Only the event with this id.")]
_Since = Annotated[str, typer.Option(help="Only what died since: a span back such as 2h, or a time in ISO 8601.")]
_Until = Annotated[str, typer.Option(help="Only what died before: the same.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_commands, name="dlq")


@_commands.command("list")
def list_(  # noqa: PLR0913, PLR0917 - one for each thing by which letters are chosen
    as_json: _Json = False, group: _Group = "", rule: _Rule = "", error: _Error = "", topic: _Topic = "",
    type_: _Type = "", event: _Event = "",
    since: _Since = "", until: _Until = "",
) -> None:  # fmt: skip
    """List the dead letters, oldest first."""
    letters = _letters(_selection(group, rule, error, topic, type_, event, since, until))
    for letter in letters:
        typer.echo(json.dumps(letter.summary(), ensure_ascii=False) if as_json else _line(letter))
    if not letters:
        typer.echo("There are no such dead letters.", err=True)


@_commands.command()
def show(id_: Annotated[str, typer.Argument(metavar="ID", help="As `dlq list` shows it.")]) -> None:
    """Show one dead letter whole, as JSON."""
    typer.echo(json.dumps(_chosen([id_])[0].full(), ensure_ascii=False, indent=2))


@_commands.command()
def replay(  # noqa: PLR0913, PLR0917 - one for each thing by which letters are chosen, and how
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="As `dlq list` shows them.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that were not replayed yet.")] = False,
    group: _Group = "", rule: _Rule = "", error: _Error = "", topic: _Topic = "",
    type_: _Type = "", event: _Event = "",
    since: _Since = "", until: _Until = "",
    rate: Annotated[float | None, typer.Option(min=0.001, help="At most so many a second.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also those that were replayed before.")] = False,
    as_json: _Json = False,
) -> None:  # fmt: skip
    """Publish dead letters to the topics they came from, each once, under their own ids and marked `replayof`.
    Consumers that know the event pass it over.

    Exit codes: 0 done; 1 one of them cannot be replayed or is not there, or Kafka or Postgres is away; 2 it is not
    said which.
    """
    selection = _selection(group, rule, error, topic, type_, event, since, until)
    if not ids and not every and not any(vars(selection).values()):
        raise typer.BadParameter("give the ID of a dead letter, or choose by --group, --rule, --since …, or --all")
    letters = [letter for letter in _chosen(ids) if selection.holds(letter)] if ids else _letters(selection)
    if not letters:
        typer.echo("There are no such dead letters.", err=True)
    options = {"per_second": rate, "dry_run": dry_run, "again": again}
    if asyncio.run(_replay(letters, options, as_json=as_json)):
        raise typer.Exit(1)


async def _replay(letters: Sequence[DeadLetter], options: dict[str, Any], *, as_json: bool) -> int:
    """How many could not be replayed."""
    from datalab.bus.publisher import Publisher
    from datalab.local.addresses import lab_addresses
    from datalab.store.engine import create_engine, create_sessions
    from services.bridge.replaying import replay_all

    lab, refused = lab_addresses(), 0
    engine = create_engine(lab.database_url)
    try:
        async with Publisher(lab.kafka, "datalab-dlq") as publisher:
            async for found in replay_all(letters, publisher, create_sessions(engine), **options):
                refused += found.outcome == "refused"
                typer.echo(_as_json(found) if as_json else f"{found.letter.id}  {_said(found)}")
    finally:
        await engine.dispose()
    return refused


def _said(replayed: Replay) -> str:
    letter = replayed.letter
    return {
        "replayed": f"replayed to {replayed.place}",
        "would-replay": f"would go to {letter.topic}  {letter.event_id or '-'}",
        "before": f"was replayed before{f' to {replayed.place}' if replayed.place else ''}; see --again",
        "refused": f"cannot be replayed: {replayed.reason}",
    }[replayed.outcome]


def _as_json(replayed: Replay) -> str:
    letter = replayed.letter
    about = {"id": letter.id, "event_id": letter.event_id, "topic": letter.topic}
    told = {"outcome": replayed.outcome, "place": replayed.place, "reason": replayed.reason}
    return json.dumps(about | told, ensure_ascii=False)


def _line(letter: DeadLetter) -> str:
    origin = f"{letter.topic}[{letter.partition}]@{letter.offset}"
    error = letter.error or "-"
    return (
        f"{letter.id}  {letter.at[:19]}  {letter.group}  {origin}  {letter.event_id or '-'}  {error}  {letter.reason}"
    )


def _selection(
    group: str, rule: str, error: str, topic: str, type_: str, event: str, since: str, until: str
) -> Selection:
    from services.bridge.dead_letters import Selection

    now = datetime.now(UTC)
    times = [time_of(text, now, option) if text else None for text, option in ((since, "--since"), (until, "--until"))]
    return Selection(group, rule, error, topic, type_, event, *times)


def _letters(selection: Selection) -> list[DeadLetter]:
    from datalab.local.addresses import lab_addresses
    from services.bridge.dead_letters import read_dead_letters

    return asyncio.run(read_dead_letters(lab_addresses().kafka, selection))


def _chosen(ids: list[str]) -> list[DeadLetter]:
    from datalab.local.addresses import lab_addresses
    from services.bridge.dead_letters import read_some

    return asyncio.run(read_some(lab_addresses().kafka, ids))
