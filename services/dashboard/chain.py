"""Gathering the chain of one event: events from Kafka, runs from the bridge, deliveries from the notifier.

Each source may be away; the chain is then what the others know, and `Look.away` says what is missing.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from datalab.trace.events import chain_of, find_event
from datalab.trace.tree import Delivery, Trigger, build_trace
from schemas.envelope import Event
from services.dashboard.answers import tracing
from services.dashboard.client import RefusedError, Rest, segment
from services.dashboard.look import Look

_PAGE = 500


def find_chain(look: Look, kafka: str, event_id: str, deadline_s: float) -> tracing.Chain:
    """The chain that the event belongs to, wherever in it the event stands."""
    triggers = _triggers(look, event_id)
    correlation, events = _events(look, kafka, event_id, _correlation(triggers), deadline_s)
    if not triggers and correlation != event_id:
        triggers = _triggers(look, correlation)
    deliveries = _deliveries(look, correlation_id=correlation) or _deliveries(look, event_id=event_id)
    roots = build_trace(
        events, [_as(Trigger, trigger) for trigger in triggers], [_as(Delivery, delivery) for delivery in deliveries]
    )
    return tracing.Chain(
        asked=event_id,
        correlation=correlation,
        roots=roots,
        events={id_: event for id_, (_, event) in events.items()},
        triggers={trigger.id: trigger for trigger in triggers},
        deliveries={delivery.id: delivery for delivery in deliveries},
    )


def _triggers(look: Look, event_id: str) -> list[tracing.Trigger]:
    found = look.ask("bridge", lambda rest: _ask_bridge(rest, event_id))
    return found.triggers if found else []


def _ask_bridge(rest: Rest, event_id: str) -> tracing.Triggers:
    try:
        return rest.get(f"/v1/events/{segment(event_id)}/trace", tracing.Triggers)
    except RefusedError:
        # An id with a slash fits no path; as a parameter it gives at least the triggers of this one event.
        return rest.get("/v1/triggers", tracing.Triggers, event_id=event_id, page_size=_PAGE)


def _correlation(triggers: list[tracing.Trigger]) -> str | None:
    return triggers[0].correlation_id if triggers else None


def _delivery_page(token: str | None, wanted: dict[str, str], rest: Rest) -> tracing.Deliveries:
    return rest.get("/v1/deliveries", tracing.Deliveries, page_size=_PAGE, page_token=token, **wanted)


def _deliveries(look: Look, **wanted: str) -> list[tracing.Delivery]:
    found: list[tracing.Delivery] = []
    token: str | None = None
    while True:
        page = look.ask("notifier", partial(_delivery_page, token, wanted))
        if page is None:
            return found
        found += page.deliveries
        if (token := page.next_page_token) is None:
            return found


def _events(
    look: Look, kafka: str, event_id: str, correlation: str | None, deadline_s: float
) -> tuple[str, dict[str, tuple[str, Event]]]:
    """The id of the chain, and its events. An event that no topic has starts, as far as one knows, its own chain."""

    async def read() -> tuple[str, dict[str, tuple[str, Event]]]:
        async with asyncio.timeout(deadline_s):
            chain = correlation or (await find_event(kafka, event_id))[1].correlation
            return chain, await chain_of(kafka, chain)

    try:
        return asyncio.run(read())
    except LookupError:
        return correlation or event_id, {}
    except TimeoutError:
        look.away["kafka"] = f"the topics were not read within {deadline_s:g} s"
    except OSError as error:
        look.away["kafka"] = str(error)
    return correlation or event_id, {}


def _as(kind: type[Any], answer: tracing.Trigger | tracing.Delivery) -> Any:
    """The answer as the tree's own kind, which has fewer fields."""
    return kind(**{name: getattr(answer, name) for name in kind.__dataclass_fields__})
