"""Puts ingest together from its settings and runs it. The only place where its parts meet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from datalab.bus.publisher import Publisher
from datalab.runtime.clock import Clock, SystemClock
from datalab.runtime.health import Health
from datalab.runtime.serving import run_all, serve
from datalab.runtime.web import create_app
from datalab.store.engine import check_database, create_engine, create_sessions
from services.ingest.arrivals import Arrivals
from services.ingest.catalog_api import catalog_router
from services.ingest.dataset_file import DatasetFile
from services.ingest.events_api import events_router
from services.ingest.files_api import files_router
from services.ingest.intake import Intake
from services.ingest.landing import watch_landing
from services.ingest.ledger import Ledger
from services.ingest.outbox import EventPublisher, Outbox
from services.ingest.settings import IngestSettings


@dataclass(frozen=True)
class Ingest:
    """The service, put together: what serves requests, and what runs beside it."""

    app: FastAPI
    arrivals: Arrivals
    outbox: Outbox


@asynccontextmanager
async def build(
    settings: IngestSettings, *, publisher: EventPublisher | None = None, clock: Clock | None = None
) -> AsyncIterator[Ingest]:
    """The service with its connections, released in reverse order. Kafka and Postgres may be away at that time."""
    clock = clock or SystemClock()
    health = Health()
    async with AsyncExitStack() as stack:
        engine = create_engine(settings.require_database_url())
        stack.push_async_callback(engine.dispose)
        if publisher is None:
            publisher = await stack.enter_async_context(_publisher(settings, health))
        ledger = Ledger(create_sessions(engine))
        outbox = Outbox(ledger, publisher, clock)
        datasets = DatasetFile(settings.datalab_config_dir / "datasets.yaml")
        health.check("datasets", datasets.check)
        arrivals = watch_landing(settings, datasets, ledger, outbox, clock)
        _register_checks(health, engine, arrivals, outbox)
        yield Ingest(
            _app(settings, health, Intake(publisher, settings.ingest_max_in_flight), ledger, clock), arrivals, outbox
        )


def _publisher(settings: IngestSettings, health: Health) -> Publisher:
    timeout_s = settings.ingest_publish_timeout_seconds
    # Connects when first used: requests are answered with 503, not refused, while Kafka is away.
    publisher = Publisher(settings.kafka_bootstrap_servers, "ingest", request_timeout_s=timeout_s, connect_later=True)
    health.check("kafka", publisher.check)
    return publisher


def _register_checks(health: Health, engine: AsyncEngine, arrivals: Arrivals, outbox: Outbox) -> None:
    health.check("postgres", lambda: check_database(engine))
    health.check("arrivals", arrivals.check)
    health.check("outbox", outbox.check)


def _app(settings: IngestSettings, health: Health, intake: Intake, ledger: Ledger, clock: Clock) -> FastAPI:
    app = create_app("ingest", health, description="Puts events and arriving files on Kafka")
    app.include_router(events_router(intake, clock, settings.ingest_body_timeout_seconds))
    app.include_router(catalog_router())
    app.include_router(files_router(ledger))
    return app


async def main(stop: asyncio.Event) -> None:
    """Run the service until `stop` is set."""
    settings = IngestSettings()
    async with build(settings) as ingest:
        await run_all(
            stop,
            serve(ingest.app, settings.host, settings.ingest_port, stop),
            ingest.arrivals.run(stop),
            ingest.outbox.run(stop),
        )
