"""Puts together what follows S3 stores: notices from Kafka, and the listing of buckets. Both only ask the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from datalab.bus.consumer import Consumer
from datalab.bus.deadletters import KafkaDeadLetters
from datalab.bus.publisher import Publisher, RecordRef
from datalab.bus.retry import PermanentError, RetryPolicy, dependency_is_down
from datalab.runtime.clock import Clock
from datalab.runtime.health import Health
from datalab.runtime.logs import get_logger
from datalab.store.engine import database_is_down
from services.ingest.dataset_file import DatasetFile
from services.ingest.ledger import Ledger
from services.ingest.s3.notification import Notice, read_notification
from services.ingest.s3.objects import Objects
from services.ingest.s3.settings import S3Settings
from services.ingest.s3.store import ObjectStore, StoreRefusedError
from services.ingest.s3.sweep import Sweep

log = get_logger(__name__)
TOPIC = "lab.s3-notifications"
GROUP = "ingest-s3"
_THREADS = 4


class S3Intake:
    """One store, followed until it is told to stop; or none."""

    def __init__(self, consumer: Consumer[list[Notice]] | None, sweep: Sweep | None, halt: Callable[[], None]) -> None:
        self._consumer, self._sweep, self._halt = consumer, sweep, halt

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the store until `stop` is set. No notice and no outage ends it."""
        async with asyncio.TaskGroup() as tasks:
            for part in (self._consumer, self._sweep):
                if part is not None:
                    tasks.create_task(part.run(stop))
            await stop.wait()
            # What is being read may be large; its notice is not committed, so it is read after the next start.
            self._halt()


@asynccontextmanager
async def follow_store(
    settings: S3Settings,
    ledger: Ledger,
    datasets: DatasetFile,
    clock: Clock,
    added: Callable[[], None],
    health: Health,
) -> AsyncIterator[S3Intake]:
    """The intake from the store at MINIO_ENDPOINT. Without one it does nothing, and notices stay on their topic."""
    if not settings.minio_endpoint:
        log.info("s3.unused", reason="MINIO_ENDPOINT is not set")
        yield S3Intake(None, None, lambda: None)
        return
    async with AsyncExitStack() as stack:
        bootstrap = settings.kafka_bootstrap_servers
        store = _store(settings.minio_endpoint, settings)
        objects = Objects(store, ledger, datasets, clock, added, threads=_THREADS)
        stack.push_async_callback(objects.close)
        publisher = await stack.enter_async_context(Publisher(bootstrap, GROUP, connect_later=True))
        consumer = Consumer(
            bootstrap,
            GROUP,
            [TOPIC],
            _Handler(objects, settings.ignored_buckets).handle,
            decoder=read_notification,
            dead_letters=KafkaDeadLetters(publisher),
            # An outage must not empty the topic into the dead letters; what the store refuses is tried a few times.
            retry=RetryPolicy(is_transient=_passes),
        )
        sweep = Sweep(store, objects, settings.listed_buckets, settings.ingest_s3_list_interval_seconds)
        health.check("s3-notifications", consumer.check)
        health.check("s3-buckets", sweep.check)
        yield S3Intake(consumer, sweep, objects.halt)


def _store(endpoint: str, settings: S3Settings) -> ObjectStore:
    secret = settings.s3_secret_access_key.get_secret_value()
    return ObjectStore(endpoint, settings.s3_region, settings.s3_access_key_id, secret)


class _Handler:
    """What is done about the notices of one record: all of them, whatever becomes of the first."""

    def __init__(self, objects: Objects, ignored_buckets: Collection[str]) -> None:
        self._objects, self._ignored_buckets = objects, ignored_buckets

    async def handle(self, notices: Sequence[Notice], ref: RecordRef) -> None:
        """Returns once the ledger holds what the notices led to; raises what the last of them could not be."""
        refused: list[str] = []
        hopeless = True
        for notice in notices:
            if notice.bucket in self._ignored_buckets:
                continue
            try:
                await self._objects.refresh(notice.bucket, notice.keys)
            except (PermanentError, StoreRefusedError) as error:
                refused.append(str(error))
                hopeless = hopeless and isinstance(error, PermanentError)
        log.info("s3.notified", at=str(ref), objects=len(notices), refused=len(refused))
        if refused:
            raise (PermanentError if hopeless else StoreRefusedError)("; ".join(refused))


def _passes(error: Exception) -> bool:
    return dependency_is_down(error) or database_is_down(error)
