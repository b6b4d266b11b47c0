"""`datalab down`: stop the lab."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def down() -> None:
        """Stop the lab and every process of it. Its data stays; stopping a stopped lab is no error.

        Exit codes: 0 nothing of the lab runs any more; 1 a process could not be ended.
        """
        from datalab.local.console import messages
        from datalab.local.control import stop
        from datalab.local.layout import LabLayout
        from datalab.local.marked import find_marked
        from datalab.runtime.settings import LabSettings

        console, layout = messages(), LabLayout.at(LabSettings().datalab_home)
        ran = stop(layout)
        if left := find_marked(layout.lab_id):
            console.print(f"Could not end: {', '.join(str(marked.process.pid) for marked in left)}.")
            raise typer.Exit(1)
        console.print("The lab is stopped." if ran else f"No lab runs in {layout.home}.", markup=False, soft_wrap=True)
