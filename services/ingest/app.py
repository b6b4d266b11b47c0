"""Puts ingest together from its settings and runs it. The only place where its parts meet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from datalab.bus.publisher import Publisher
from datalab.runtime.clock import Clock, SystemClock
from datalab.runtime.health import Health
from datalab.runtime.serving import run_all, serve
from datalab.store.engine import check_database, create_engine, create_sessions
from services.ingest.arrivals import Arrivals
from services.ingest.dataset_file import DatasetFile
from services.ingest.files_api import files_router
from services.ingest.http import HttpFace, build_http
from services.ingest.intake import RecordPublisher
from services.ingest.landing import watch_landing
from services.ingest.ledger import Ledger
from services.ingest.outbox import EventPublisher, Outbox
from services.ingest.s3.intake import S3Intake, follow_store
from services.ingest.settings import IngestSettings


class IngestPublisher(EventPublisher, RecordPublisher, Protocol):
    """Where all that ingest publishes goes."""


@dataclass(frozen=True)
class Ingest:
    """The service, put together: what serves requests, and what runs beside it."""

    http: HttpFace
    arrivals: Arrivals
    outbox: Outbox
    objects: S3Intake


@asynccontextmanager
async def build(
    settings: IngestSettings, *, publisher: IngestPublisher | None = None, clock: Clock | None = None
) -> AsyncIterator[Ingest]:
    """The service with its connections, released in reverse order. Kafka and Postgres may be away at that time."""
    clock = clock or SystemClock()
    health = Health()
    async with AsyncExitStack() as stack:
        engine = create_engine(settings.require_database_url())
        stack.push_async_callback(engine.dispose)
        if publisher is None:
            publisher = await stack.enter_async_context(_publisher(settings, health))
        sessions = create_sessions(engine)
        ledger = Ledger(sessions)
        outbox = Outbox(ledger, publisher, clock)
        datasets = DatasetFile(settings.datalab_config_dir / "datasets.yaml")
        health.check("datasets", datasets.check)
        arrivals = watch_landing(settings, datasets, ledger, outbox, clock)
        objects = await stack.enter_async_context(follow_store(settings, ledger, datasets, clock, outbox.wake, health))
        _register_checks(health, engine, arrivals, outbox)
        http = build_http(settings, health, publisher, sessions, clock, files_router(ledger))
        yield Ingest(http, arrivals, outbox, objects)


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


async def main(stop: asyncio.Event) -> None:
    """Run the service until `stop` is set."""
    settings = IngestSettings()
    async with build(settings) as ingest:
        await run_all(
            stop,
            serve(ingest.http.app, settings.host, settings.ingest_port, stop),
            ingest.http.prune(stop),
            ingest.arrivals.run(stop),
            ingest.outbox.run(stop),
            ingest.objects.run(stop),
        )
