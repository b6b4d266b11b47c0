"""`datalab events tail | show | trace`: what is on Kafka, and what it caused. It publishes and commits nothing."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datalab.cli.times import since as time_of

if TYPE_CHECKING:
    from datalab.bus.publisher import RecordRef
    from datalab.local.addresses import LabAddresses
    from datalab.trace.story import Story
    from schemas.envelope import Event

_Json = Annotated[bool, typer.Option("--json", help="Print JSON")]
_Seconds = Annotated[float, typer.Option("--timeout", min=0.1, help="Give up after this many seconds")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    # What aiokafka logs about a broker that is away is said by our own message.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    events = typer.Typer(help="Look at events: tail, show, trace.", no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(events, name="events")
    events.command()(tail)
    events.command()(show)
    events.command()(trace)


def tail(
    topic: Annotated[list[str] | None, typer.Option(help="Only this topic; may be repeated")] = None,
    since: Annotated[str, typer.Option("--from", help="now, beginning, 10m, 2h, or a time in ISO 8601")] = "now",
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many events")] = None,
    follow: Annotated[bool, typer.Option(help="Wait for new events after those that are there")] = True,
    as_json: _Json = False,
) -> None:
    """Print events as they come, one a line."""
    asyncio.run(_tail(topic, time_of(since, datetime.now(UTC)), limit, follow=follow, as_json=as_json))


def show(event_id: Annotated[str, typer.Argument(help="The event's id")], timeout: _Seconds = 30.0) -> None:
    """Print one event as JSON, with its place on Kafka."""
    from datalab.trace.events import find_event
    from schemas.codec import to_structured

    record, event = asyncio.run(_bounded(find_event(_lab().kafka, event_id), timeout))
    typer.echo(json.dumps({"record": record, "event": to_structured(event)}, indent=2, ensure_ascii=False))


def trace(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of an event, a run, a trigger, an alert or a delivery")],
    as_json: _Json = False,
    timeout: _Seconds = 30.0,
) -> None:
    """Print what something caused, and what caused it: events, runs, alerts, deliveries.

    Of an alert that is named by its fingerprint the newest episode is meant.
    """
    from datalab.trace.tree import render

    story = asyncio.run(_bounded(_story(_lab(), id_), timeout))
    if story.without_ledgers:
        typer.echo("datalab: Postgres does not answer, so runs and deliveries are missing below", err=True)
    if as_json:
        typer.echo(json.dumps(story.to_json(), indent=2, ensure_ascii=False))
        return
    for line in render(story.roots, id_):
        typer.echo(line)


async def _tail(
    topics: list[str] | None, since: datetime | None, limit: int | None, *, follow: bool, as_json: bool
) -> None:
    from datalab.bus.reader import read_events
    from datalab.trace.events import event_topics

    known = await event_topics(_lab().kafka)
    if unknown := set(topics or ()) - set(known):
        raise ValueError(f"--topic: no topic {', '.join(sorted(unknown))}; topics with events: {', '.join(known)}")
    seen = 0
    async for ref, event in read_events(_lab().kafka, topics or known, since=since, follow=follow):
        typer.echo(_as_json(ref, event) if as_json else _as_line(ref, event))
        seen += 1
        if seen == limit:
            return


async def _story(lab: LabAddresses, id_: str) -> Story:
    from datalab.store.engine import create_engine, create_sessions
    from datalab.trace.story import tell

    engine = create_engine(lab.database_url)
    try:
        return await tell(lab.kafka, create_sessions(engine), id_)
    finally:
        await engine.dispose()


async def _bounded(work: Coroutine[Any, Any, Any], seconds: float) -> Any:
    try:
        return await asyncio.wait_for(work, seconds)
    except TimeoutError as error:
        raise ConnectionError(f"gave up after {seconds:g} s; --timeout allows more") from error


def _lab() -> LabAddresses:
    from datalab.local.addresses import lab_addresses

    return lab_addresses()


def _as_json(ref: RecordRef, event: Event) -> str:
    from schemas.codec import to_structured

    return json.dumps({"record": ref._asdict(), "event": to_structured(event)}, ensure_ascii=False)


def _as_line(ref: RecordRef, event: Event) -> str:
    return f"{event.time.astimezone():%Y-%m-%d %H:%M:%S}  {event.type:<28} {event.subject}  {ref}  {event.id}"
