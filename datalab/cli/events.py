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
    from datalab.trace.tree import TraceNode
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
    event_id: Annotated[str, typer.Argument(help="The id of any event of the chain")],
    as_json: _Json = False,
    timeout: _Seconds = 30.0,
) -> None:
    """Print what an event caused, and what caused it: runs, events, alerts, deliveries."""
    from datalab.trace.tree import render

    correlation, roots = asyncio.run(_bounded(_trace(_lab(), event_id), timeout))
    if as_json:
        body = {"event": event_id, "correlation": correlation, "trace": [root.to_json() for root in roots]}
        typer.echo(json.dumps(body, indent=2, ensure_ascii=False))
        return
    for line in render(roots, event_id):
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


async def _trace(lab: LabAddresses, event_id: str) -> tuple[str, list[TraceNode]]:
    from datalab.store.engine import database_is_down
    from datalab.trace.events import chain_of, find_event
    from datalab.trace.ledgers import ledgers_of
    from datalab.trace.tree import build_trace

    _, event = await find_event(lab.kafka, event_id)
    chain = await chain_of(lab.kafka, event.correlation)
    try:
        triggers, deliveries = await ledgers_of(lab.database_url, event.correlation, chain)
    except Exception as error:
        if not database_is_down(error):
            raise
        typer.echo("datalab: Postgres does not answer, so runs and deliveries are missing below", err=True)
        triggers, deliveries = [], []
    return event.correlation, build_trace(chain, triggers, deliveries)


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
