"""`datalab status`: how the lab is doing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from datalab.local.report import LabReport

WELL, NOT_WELL, STOPPED = 0, 1, 3


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False) -> None:
        """Show every part: state, port, process, memory, restarts, address, log.

        Memory is resident memory of a part and all it started, with pages that processes share counted once.
        Exit codes: 0 every part is well; 1 the lab runs but a part is not well; 3 the lab does not run.
        """
        from datalab.local.console import data
        from datalab.local.layout import LabLayout
        from datalab.local.report import report
        from datalab.runtime.settings import LabSettings

        found = report(LabLayout.at(LabSettings().datalab_home))
        if as_json:
            typer.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
        elif found.state == "stopped":
            typer.echo(f"No lab runs in {found.home}. Start it with: datalab up --detach")
            if found.leftovers:
                typer.echo(f"{found.leftovers} processes of it are left over; end them with: datalab down")
        else:
            data().print(_table(found), soft_wrap=True)
            typer.echo(_summary(found))
        raise typer.Exit(STOPPED if found.state == "stopped" else WELL if found.healthy else NOT_WELL)


def _table(found: LabReport) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    right = {"port", "pid", "MiB", "restarts", "up s", "start s"}
    for column in ("part", "state", "port", "pid", "MiB", "restarts", "up s", "start s", "where"):
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    for part in found.parts:
        where = part.reason or part.url or part.log
        table.add_row(
            part.name,
            Text(part.state, "green" if part.healthy else "red"),
            _cell(part.port),
            _cell(part.pid),
            f"{part.memory_mib:.0f}" if part.processes else "",
            str(part.restarts),
            f"{part.uptime_s:.0f}" if part.uptime_s is not None else "",
            _cell(part.start_s),
            Text(where),
        )
    return table


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _summary(found: LabReport) -> str:
    totals = found.totals
    ready = f", ready after {found.ready_s:.1f} s" if found.ready_s is not None else ""
    moved = "".join(
        f"\nPort {wanted} was taken: {name} listens on {chosen}."
        for name, (wanted, chosen) in found.moved_ports.items()
    )
    return (
        f"{found.state}: {totals['healthy']:.0f} of {totals['parts']:.0f} well, {totals['memory_mib']:.0f} MiB in "
        f"{totals['processes']:.0f} processes{ready}. {found.home}{moved}"
    )
