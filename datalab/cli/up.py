"""`datalab up`: start the lab and keep it running."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from datalab.local.layout import LabLayout
    from datalab.local.state import LabState
    from datalab.local.supervisor import Supervisor

READY, PART_FAILED, NOT_POSSIBLE, INTERRUPTED = 0, 1, 2, 130


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def up(
        detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once it is ready; it goes on.")] = False,
        parts: Annotated[str, typer.Option(help="Only these parts and what they need, separated by commas.")] = "",
    ) -> None:
        """Start the lab: Kafka, Postgres, Prefect, MLflow, Spark and the services.

        Without --detach it stays in the foreground, and Ctrl-C stops the lab. A lab that runs already is left as it is.

        Exit codes: 0 ready, or stopped by you after it was; 1 a part did not come up, its last log lines are shown;
        2 this machine lacks something, or a wrong option; 130 interrupted before it was ready.
        """
        raise typer.Exit(bring_up(detach=detach, only=parts.split(",") if parts else None))


def bring_up(*, detach: bool, only: list[str] | None = None) -> int:
    """Start the lab unless it runs, saying what happens; returns the exit code of `datalab up`."""
    from datalab.cli.fetch import fetch_with_progress
    from datalab.local.console import messages
    from datalab.local.control import running
    from datalab.local.doctor import examine
    from datalab.local.jars import JarFetchError
    from datalab.local.layout import LabLayout
    from datalab.local.plan import PlanError, all_parts, creators, select
    from datalab.runtime.settings import LabSettings, configuration

    console, layout = messages(), LabLayout.at(LabSettings().datalab_home)
    if (state := running(layout)) is not None and state.phase in ("starting", "ready"):
        return _join(layout, state, console)
    if faults := [finding for finding in examine(layout, fatal_only=True) if finding.fatal]:
        for fault in faults:
            console.print(f"{fault.name}: {fault.detail}. Mend it with: {fault.mend}", soft_wrap=True, markup=False)
        return NOT_POSSIBLE
    try:
        select(all_parts(creators=creators(configuration())), only or [])
        fetch_with_progress(console)
    except (PlanError, JarFetchError) as error:
        console.print(str(error), soft_wrap=True, markup=False)
        return NOT_POSSIBLE
    return _background(layout, only, console) if detach else _foreground(layout, only, console)


def _join(layout: LabLayout, state: LabState, console: Console) -> int:
    """A lab that runs already: say so; one that starts: wait with whoever started it."""
    from datalab.local.control import LabFailedError, wait_until_ready
    from datalab.local.stage_view import StageView

    console.print(
        f"The lab in {layout.home} is already {'running' if state.phase == 'ready' else 'starting'}.",
        soft_wrap=True,
        markup=False,
    )
    try:
        if state.phase == "starting":
            with StageView(console) as view:
                state = wait_until_ready(layout, seen=view.show)
    except LabFailedError as error:
        return _failed(error.state, str(error), console)
    except KeyboardInterrupt:
        return INTERRUPTED
    _print_addresses(state)
    return READY


def _background(layout: LabLayout, only: list[str] | None, console: Console) -> int:
    from datalab.local.control import LabFailedError, start_in_background, stop, wait_until_ready
    from datalab.local.stage_view import StageView
    from datalab.local.supervise import ALREADY_RUNNING

    supervisor = start_in_background(layout, only)
    try:
        with StageView(console) as view:
            state = wait_until_ready(layout, supervisor, view.show)
    except LabFailedError as error:
        if supervisor.returncode == ALREADY_RUNNING:
            return _background_lost_race(layout, console)
        return _failed(error.state, str(error), console)
    except KeyboardInterrupt:
        console.print("Interrupted: stopping the lab.")
        stop(layout)
        return INTERRUPTED
    _say_ready(state, console)
    _print_addresses(state)
    return READY


def _background_lost_race(layout: LabLayout, console: Console) -> int:
    """Another `up` was faster by a moment: its lab is ours."""
    from datalab.local.control import running

    state = running(layout)
    if state is not None and state.phase == "stopping":
        return _failed(None, f"The lab in {layout.home} is being stopped; start it again once it is.", console)
    return _join(layout, state, console) if state else _failed(None, "another `datalab up` is at work", console)


def _foreground(layout: LabLayout, only: list[str] | None, console: Console) -> int:
    from datalab.local.state import LabState
    from datalab.local.supervise import ALREADY_RUNNING, OK, supervise

    def observe(supervisor: Supervisor) -> asyncio.Task[None]:
        return asyncio.create_task(_show(supervisor, console))

    code = supervise(layout, only, observe=observe)
    state = LabState.load(layout)
    if code == ALREADY_RUNNING:
        return _background_lost_race(layout, console)
    if code == OK:
        console.print("The lab is stopped.")
        return READY if state and state.ready_seconds is not None else INTERRUPTED
    return _failed(state, "", console)


async def _show(supervisor: Supervisor, console: Console) -> None:
    """Show the stages until all are ready, then their restarts, until the end."""
    from datalab.local.stage_view import StageView

    state = supervisor.state
    with StageView(console) as view:
        while state.phase == "starting":
            view.show(state)
            await asyncio.sleep(0.2)
        view.show(state)
        view.close()
        if state.phase == "ready":
            _say_ready(state, console)
            _print_addresses(state)
            console.print("Ctrl-C stops the lab.")
        while state.phase == "ready":
            view.show(state)
            await asyncio.sleep(0.5)
        if state.phase == "stopping":
            console.print("Stopping…")


def _say_ready(state: LabState, console: Console) -> None:
    console.print(f"The lab is ready after {state.ready_seconds:.1f} s.")
    for name, (wanted, chosen) in state.moved_ports.items():
        console.print(f"Port {wanted} is taken: {name} listens on {chosen}.", markup=False)


def _print_addresses(state: LabState) -> None:
    for part in state.parts.values():
        if part.url and part.state == "ready":
            sys.stdout.write(f"{part.name:<14} {part.url}{os.linesep}")
    sys.stdout.flush()


def _failed(state: LabState | None, message: str, console: Console) -> int:
    failure = state.failure if state else None
    if state is None or failure is None:
        console.print(message or "The lab did not come up.", markup=False, soft_wrap=True)
        return PART_FAILED
    console.print(f"The lab did not come up. {failure['part']}: {failure['reason']}", markup=False, soft_wrap=True)
    for line in failure["log_tail"]:
        console.print(f"  {line}", markup=False, soft_wrap=True, highlight=False)
    if failure["part"] in state.parts:
        console.print(f"The whole log: {state.parts[failure['part']].log}", markup=False, soft_wrap=True)
    return PART_FAILED
