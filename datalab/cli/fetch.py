"""`datalab fetch`: have Kafka's and Delta's jars on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from datalab.local.jar_lock import Jar
    from datalab.local.jars import Progress


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def fetch() -> None:
        """Fetch the jars of Kafka and Delta once, verified; later calls need no network.

        With a LAKE_ROOT in S3 it fetches also the jars that reach such a lake. It prepares the Java classes of Kafka
        and Spark, which halves the work of starting them.
        An interrupted fetch goes on where it stopped, and a damaged jar is fetched again.
        Exit codes: 0 all jars are here and intact; 1 one could not be had.
        """
        from datalab.local.class_archive import record_missing
        from datalab.local.console import messages
        from datalab.local.jars import JarFetchError
        from datalab.local.java import JavaMissingError, find_java

        console = messages()
        try:
            fetched = fetch_with_progress(console)
        except JarFetchError as error:
            console.print(str(error), markup=False, soft_wrap=True)
            raise typer.Exit(1) from None
        console.print(f"Jars: {fetched} fetched, all intact." if fetched else "Jars: all here and intact.")
        try:
            record_missing(find_java(), lambda text: console.print(text, markup=False, soft_wrap=True))
        except JavaMissingError as error:
            console.print(str(error), markup=False, soft_wrap=True)


def fetch_with_progress(console: Console) -> int:
    """Fetch what is missing, with a bar on a terminal, else a line now and then; returns how many were fetched."""
    from datalab.local.needed_jars import needed_jars

    cache = needed_jars()
    if not console.is_terminal:
        return len(cache.fetch(_lines(console)))
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        transient=True,
    ) as bars:
        return len(cache.fetch(_bar(bars)))


def _bar(bars: object) -> Progress:
    from rich.progress import Progress as Bars

    from datalab.local.jars import Progress

    assert isinstance(bars, Bars)
    task = bars.add_task("Jars of Kafka and Delta", total=None, visible=False)
    return Progress(
        started=lambda jars: bars.update(task, total=sum(jar.size for jar in jars), visible=True),
        received=lambda count: bars.advance(task, count),
        finished=lambda _: None,
    )


def _lines(console: Console) -> Progress:
    from datalab.local.jars import Progress

    done: list[Jar] = []
    wanted: list[Jar] = []

    def started(jars: Sequence[Jar]) -> None:
        wanted.extend(jars)
        console.print(f"Fetching {len(jars)} jars of Kafka and Delta, {sum(jar.size for jar in jars) / 1e6:.0f} MB.")

    def finished(jar: Jar) -> None:
        done.append(jar)
        if len(done) % 10 == 0 or len(done) == len(wanted):
            console.print(f"{len(done)} of {len(wanted)} jars fetched.")

    return Progress(started, lambda _: None, finished)
