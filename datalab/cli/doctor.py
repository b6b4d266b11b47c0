"""`datalab doctor`: what this machine has and lacks for the lab."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False) -> None:
        """Look at Java, make, Python, disk, memory, ports, jars and more; say how to mend what is wrong.

        Exit codes: 0 the lab can start (there may be warnings); 1 something must be mended first.
        """
        from rich.table import Table
        from rich.text import Text

        from datalab.local.console import data
        from datalab.local.doctor import examine
        from datalab.local.layout import LabLayout
        from datalab.runtime.settings import LabSettings

        findings = examine(LabLayout.at(LabSettings().datalab_home))
        failed = any(finding.status == "fail" for finding in findings)
        if as_json:
            typer.echo(json.dumps({"ok": not failed, "checks": [asdict(finding) for finding in findings]}, indent=2))
            raise typer.Exit(int(failed))
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        colours = {"ok": "green", "warn": "yellow", "fail": "red"}
        for finding in findings:
            table.add_row(Text(finding.status, colours[finding.status]), finding.name, Text(finding.detail))
            if finding.mend:
                table.add_row("", "", Text(f"→ {finding.mend}"))
        data().print(table, soft_wrap=True)
        raise typer.Exit(int(failed))
