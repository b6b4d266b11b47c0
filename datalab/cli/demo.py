"""`datalab demo`: three files through the whole lab, and the proof of what they caused."""

from __future__ import annotations

import json
import signal
import sys
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    as_json: Annotated[bool, typer.Option("--json", help="Print the proof as one JSON object.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the lab running if this command started it.")] = False,
    patience: Annotated[float, typer.Option(help="Seconds that each hop may take.")] = 180.0,
) -> None:
    """Feed the lab three files and prove, from the systems themselves, what they caused: Gold and a trained model,
    an alert about broken rows, and an alert about a price that the model did not expect.

    Starts the lab if it does not run, and stops it again.

    Exit codes: 0 every hop was seen and every claim holds; 1 otherwise, or the lab did not come up; 2 this machine
    lacks something.
    """
    import asyncio
    from contextlib import redirect_stdout

    from rich.console import Console

    from datalab.cli.up import bring_up
    from datalab.local.addresses import lab_addresses
    from datalab.local.control import running, stop
    from datalab.local.demo.report import Report
    from datalab.local.demo.run import demonstrate
    from datalab.local.layout import LabLayout

    # With --json, stdout belongs to the proof, and what happens meanwhile goes to stderr.
    report = Report(Console(stderr=as_json))
    found = lab_addresses()
    state = running(LabLayout.at(found.home))
    # A lab that somebody else is starting at this moment is theirs, and goes on.
    started = state is None or state.phase not in {"starting", "ready"}
    if not found.is_running:
        with redirect_stdout(sys.stderr):
            code = bring_up(detach=True)
        if code:
            raise typer.Exit(code)
    lab = lab_addresses()
    # Left to its default, SIGTERM would end this process and leave the lab running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        proof = asyncio.run(demonstrate(lab, report.show, patience_s=patience))
        report.conclude(proof)
        if as_json:
            json.dump(proof.as_dict(), sys.stdout, ensure_ascii=False, indent=1)
            sys.stdout.write("\n")
    finally:
        if started and not keep:
            Console(stderr=True).print("\nStopping the lab …", style="dim")
            stop(LabLayout.at(lab.home))
    raise typer.Exit(0 if proof.proved else 1)
