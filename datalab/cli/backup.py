"""`datalab backup …`: what maintenance has backed up, whether it still is what it was, and back with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from datalab.cli.refusals import plain_errors

if TYPE_CHECKING:
    from flows.config import FlowSettings
    from flows.upkeep.backup_store import BackupStore
    from flows.upkeep.catalogue import Kept

_commands = typer.Typer(no_args_is_help=True, help="Backups of the lake's tables.")
_Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
_Table = Annotated[str, typer.Argument(help="LAYER/NAME, such as silver/stocks.")]
_AnyTable = Annotated[str | None, typer.Argument(help="LAYER/NAME, such as silver/stocks; all tables without it.")]
_Version = Annotated[int | None, typer.Option(help="The table's version that was backed up; the newest without it.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_commands, name="backup")


@_commands.command("list")
def list_(table: _AnyTable = None, as_json: _Json = False) -> None:
    """List the backups by table, the newest first."""
    from flows.upkeep.catalogue import kept

    with plain_errors():
        store = _store(_settings())
        _print(kept(store, table), as_json=as_json)
        if not store.tables():
            typer.echo(f"There are no backups in {store.root} yet; the maintenance flow makes them.", err=True)


@_commands.command()
def verify(table: _AnyTable = None, version: _Version = None, as_json: _Json = False) -> None:
    """Read every file of the backups and compare it with what was copied. Ends with 1 if one is damaged."""
    from flows.upkeep.catalogue import checked, kept

    with plain_errors():
        found = [b for b in kept(_store(_settings()), table) if version in (None, b.version)]
        damaged = _print(map(checked, found), as_json=as_json)
        if version is not None and not found:
            raise typer.BadParameter(f"there is no backup of version {version}", param_hint="--version")
    if not as_json:
        typer.echo(f"{len(found)} backups read, {damaged} damaged", err=True)
    if damaged:
        raise typer.Exit(1)


@_commands.command()
def restore(
    table: _Table,
    version: _Version = None,
    to: Annotated[
        str | None,
        typer.Option(help="Another place than the table's own in the lake: a directory, s3://BUCKET/PREFIX."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Move what is there aside, to NAME.replaced-TIME.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Put a table back, and compare it with what was backed up: files, version, rows, values, schema, protocol."""
    from flows.upkeep.catalogue import chosen
    from flows.upkeep.put_back import place_of, restore_held

    with plain_errors():
        settings = _settings()
        backup = chosen(_store(settings), table, version)
        target = place_of(table, settings, to)
        manifest = restore_held(
            backup.path, target, replace=replace, settings=settings, say=lambda line: typer.echo(line, err=True)
        )
    if as_json:
        typer.echo(json.dumps({"restored": target, **backup.as_dict()}, ensure_ascii=False))
    else:
        typer.echo(
            f"{table}, version {manifest.version}, {manifest.content.rows:,} rows: restored to {target}, compared"
        )


def _print(backups: Iterable[Kept], *, as_json: bool) -> int:
    """One line for each as soon as it is known; returns how many are damaged."""
    damaged = 0
    for backup in backups:
        damaged += backup.damage is not None
        if as_json:
            typer.echo(json.dumps(backup.as_dict(), ensure_ascii=False))
        elif backup.damage is not None:
            typer.echo(f"{backup.table:<28} DAMAGED {backup.path}: {backup.damage}")
        else:
            made = f"{backup.created_at:%Y-%m-%d %H:%M}" if backup.created_at else "-"
            took = f"restored in {backup.restore_s:.1f} s" if backup.restore_s is not None else "restored"
            size = f"{(backup.size_bytes or 0) / 1e6:,.1f} MB"
            typer.echo(
                f"{backup.table:<28} version {backup.version:<5} {backup.rows:>12,} rows {size:>12} {made} {took}"
            )
    return damaged


def _settings() -> FlowSettings:
    from flows.config import FlowSettings

    return FlowSettings()


def _store(settings: FlowSettings) -> BackupStore:
    from flows.upkeep.backup_store import BackupStore

    return BackupStore(settings.backups)
