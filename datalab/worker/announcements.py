"""Being told by Prefect, over its websocket of events, that a run is due or is to be cancelled.

It is for speed only: events may be lost, and whoever listens also polls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

from prefect.events import Event
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter

_CANCELLING = "prefect.flow-run.Cancelling"
_DUE = (
    "prefect.flow-run.Scheduled",
    "prefect.flow-run.AwaitingRetry",
    "prefect.flow-run.Resuming",
    "prefect.flow-run.Late",
)
_FIRST_S, _LONGEST_S = 0.5, 10.0


async def listen(
    pool_id: UUID,
    *,
    due: Callable[[], None],
    cancelling: Callable[[UUID], None],
    say: Callable[[str], None],
) -> None:
    """Call `due` and `cancelling` for each event of the pool, for ever; reconnects, and says when it has to."""
    wanted = EventFilter(
        event=EventNameFilter(name=[*_DUE, _CANCELLING]),
        any_resource=EventAnyResourceFilter(id=[f"prefect.work-pool.{pool_id}"]),
    )
    delay = _FIRST_S
    while True:
        try:
            async with get_events_subscriber(filter=wanted, reconnection_attempts=0) as events:
                due()  # whatever was created while nobody listened
                delay = _FIRST_S
                async for event in events:
                    if event.event == _CANCELLING:
                        cancelling(_run_id(event))
                    else:
                        due()
            reason = "closed by the server"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"[:200]
        if delay >= _LONGEST_S / 2:
            say(f"no events from Prefect ({reason}); polling meanwhile")
        await asyncio.sleep(delay)
        delay = min(delay * 2, _LONGEST_S)


def _run_id(event: Event) -> UUID:
    return UUID(event.resource["prefect.resource.id"].removeprefix("prefect.flow-run."))
