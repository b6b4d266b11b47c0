"""`datalab dlq …`: look at dead letters and publish them again."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from services.bridge.dead_letters import DeadLetter

_commands = typer.Typer(no_args_is_help=True, help="Dead letters: records that could not be handled.")
_Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
_Group = Annotated[str, typer.Option(help="Only those that this consumer group gave up.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_commands, name="dlq")


@_commands.command("list")
def list_(as_json: _Json = False, group: _Group = "") -> None:
    """List the dead letters, oldest first."""
    letters = [letter for letter in _letters() if group in ("", letter.group)]
    for letter in letters:
        if as_json:
            typer.echo(json.dumps(letter.summary(), ensure_ascii=False))
        else:
            origin = f"{letter.topic}[{letter.partition}]@{letter.offset}"
            name = letter.event_id or "-"
            typer.echo(f"{letter.id}  {letter.at[:19]}  {letter.group}  {origin}  {name}  {letter.reason}")
    if not letters:
        typer.echo("There are no dead letters.", err=True)


@_commands.command()
def show(id_: Annotated[str, typer.Argument(metavar="ID", help="As `dlq list` shows it.")]) -> None:
    """Show one dead letter whole, as JSON."""
    typer.echo(json.dumps(_chosen([id_])[0].full(), ensure_ascii=False, indent=2))


@_commands.command()
def replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="As `dlq list` shows them.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that were not replayed yet.")] = False,
    group: _Group = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also those that were replayed before.")] = False,
) -> None:
    """Publish dead letters to the topics they came from, each once. Consumers that know the event pass it over.

    Exit codes: 0 done; 1 there is no such dead letter, or Kafka or Postgres is away; 2 neither an ID nor --all.
    """
    if not ids and not every:
        raise typer.BadParameter("give the ID of a dead letter, or --all")
    letters = [letter for letter in (_chosen(ids) if ids else _letters()) if group in ("", letter.group)]
    if dry_run:
        for letter in letters:
            typer.echo(f"{letter.id}  would go to {letter.topic}  {letter.event_id or '-'}")
        return
    asyncio.run(_replay(letters, again=again))


async def _replay(letters: list[DeadLetter], *, again: bool) -> None:
    from datalab.bus.publisher import Publisher
    from datalab.local.addresses import lab_addresses
    from datalab.store.engine import create_engine, create_sessions
    from services.bridge.dead_letters import replay as replay_one

    lab = lab_addresses()
    engine = create_engine(lab.database_url)
    try:
        async with Publisher(lab.kafka, "datalab-dlq") as publisher:
            for letter in letters:
                place = await replay_one(letter, publisher, create_sessions(engine), again=again)
                typer.echo(f"{letter.id}  " + (f"replayed to {place}" if place else "was replayed before; see --again"))
    finally:
        await engine.dispose()


def _letters() -> list[DeadLetter]:
    from datalab.local.addresses import lab_addresses
    from services.bridge.dead_letters import read_dead_letters

    return asyncio.run(read_dead_letters(lab_addresses().kafka))


def _chosen(ids: list[str]) -> list[DeadLetter]:
    known = {letter.id: letter for letter in _letters()}
    if missing := [id_ for id_ in ids if id_ not in known]:
        raise LookupError(f"there is no dead letter {', '.join(missing)}; `datalab dlq list` shows them")
    return [known[id_] for id_ in ids]
