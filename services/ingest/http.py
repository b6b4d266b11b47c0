"""The HTTP face of ingest, put together: what guards requests, what judges them, and its routes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from fastapi import APIRouter, Depends, FastAPI, Security

from datalab.bus.user_topics import ensure_user_topics
from datalab.runtime.clock import Clock
from datalab.runtime.health import Health
from datalab.runtime.logs import get_logger
from datalab.runtime.web import create_app
from datalab.store.bearer import BEARER, listens_beyond_this_machine
from datalab.store.engine import POSTGRES, Sessions, database_is_down
from datalab.store.tokens import Tokens
from services.ingest.answers import Answers
from services.ingest.budget import Budget
from services.ingest.catalog_api import catalog_router
from services.ingest.events_api import EventsApi, events_router
from services.ingest.intake import Intake, RecordPublisher
from services.ingest.judging import Judging
from services.ingest.publishing import BATCH_EVENTS, Publishing
from services.ingest.rates import Rates
from services.ingest.registration_api import registration_router
from services.ingest.senders import Gate
from services.ingest.settings import IngestSettings
from services.ingest.user_types import UserTypes

log = get_logger(__name__)
_PRUNE_EACH_S = 3600.0


@dataclass(frozen=True)
class HttpFace:
    """What serves requests, and what must run beside it."""

    app: FastAPI
    answers: Answers

    async def prune(self, stop: asyncio.Event) -> None:
        """Forget old answers, once an hour, until `stop` is set."""
        while not stop.is_set():
            try:
                log.info("answers.pruned", count=await self.answers.prune())
            except Exception as error:
                if not database_is_down(error):
                    raise
                log.warning("answers.kept", reason=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _PRUNE_EACH_S)


def build_http(
    settings: IngestSettings, health: Health, publisher: RecordPublisher, sessions: Sessions, clock: Clock,
    *others: APIRouter,
) -> HttpFace:  # fmt: skip
    """The application with the routes of this part and those of the others."""
    gate, budget = _gate(settings, sessions, clock), Budget(settings.ingest_max_held_bytes)
    types = UserTypes(sessions, clock)
    answers = Answers(sessions, clock, settings.ingest_claim_seconds)
    publishing = Publishing(Judging(types, clock), Intake(publisher, settings.ingest_max_in_flight))
    timeout_s = settings.ingest_body_timeout_seconds

    async def ensure_topic(type_: str) -> None:
        await ensure_user_topics(settings.kafka_bootstrap_servers, [type_])

    app = create_app("ingest", health, needs=POSTGRES, description="Puts events and arriving files on Kafka")
    told, admitted = Security(BEARER), Depends(gate.admit)
    app.include_router(events_router(EventsApi(gate, publishing, answers, budget, timeout_s)), dependencies=[told])
    app.include_router(registration_router(gate, types, ensure_topic, budget, timeout_s), dependencies=[told])
    for router in (catalog_router(types), *others):
        app.include_router(router, dependencies=[told, admitted])
    return HttpFace(app, answers)


def _gate(settings: IngestSettings, sessions: Sessions, clock: Clock) -> Gate:
    beyond = listens_beyond_this_machine(settings.host)
    required = beyond if settings.ingest_require_tokens is None else settings.ingest_require_tokens
    if beyond and not required:
        log.warning("ingest.open", host=settings.host, reason="INGEST_REQUIRE_TOKENS is false: anybody may publish")
    per_second = settings.ingest_rate_events_per_second
    if per_second is None:
        per_second = 10_000.0 if required else 0.0
    return Gate(
        Tokens(sessions), Rates(per_second, max(BATCH_EVENTS, int(per_second)), clock), clock, required=required
    )
