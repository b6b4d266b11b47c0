"""Composition root of the notifier: builds every part from the settings, runs them, releases them in reverse."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta

import httpx
from fastapi import Depends, FastAPI, Security

from datalab.bus.consumer import Consumer
from datalab.bus.deadletters import KafkaDeadLetters
from datalab.bus.publisher import Publisher
from datalab.bus.retry import RetryPolicy
from datalab.runtime.clock import Clock, SystemClock
from datalab.runtime.health import Health
from datalab.runtime.logs import get_logger
from datalab.runtime.serving import run_all, serve
from datalab.runtime.web import create_app
from datalab.store.bearer import BEARER, Bearers, listens_beyond_this_machine
from datalab.store.engine import POSTGRES, Sessions, check_database, create_engine, create_sessions, database_is_down
from datalab.store.tokens import Tokens
from services.notifier.acknowledgements import Acknowledgements
from services.notifier.api import acknowledgements, alerts, audit, deliveries, receivers, silences, subscriptions
from services.notifier.api.doors import Doors
from services.notifier.api.gate import Gate
from services.notifier.audit import Audit
from services.notifier.calls import Calls
from services.notifier.channels.building import build_channels
from services.notifier.config import ConfigError
from services.notifier.consent import Consent
from services.notifier.delivery import Channel
from services.notifier.dispatch.dispatcher import Dispatcher
from services.notifier.guard import Guard
from services.notifier.in_force import NotifyInForce
from services.notifier.intake import Intake, subscribed_topics
from services.notifier.ledger import Ledger
from services.notifier.notices import Notices
from services.notifier.outcomes import Outcomes
from services.notifier.outgoing import Outgoing
from services.notifier.prefect_blocks import PrefectBlocks
from services.notifier.pruning import Pruning
from services.notifier.records import Records
from services.notifier.sealing import Seal, SealError, load_seal
from services.notifier.sender import Pace, Sender
from services.notifier.settings import NotifierSettings, environment
from services.notifier.silences import Silences
from services.notifier.subscriptions import Subscriptions
from services.notifier.targets import Targets
from services.notifier.trials import Trials

log = get_logger(__name__)


class Notifier:
    """One process of the notifier: receiving, sending, reporting and the REST, ready to run."""

    def __init__(
        self,
        settings: NotifierSettings,
        in_force: NotifyInForce,
        sessions: Sessions,
        publisher: Publisher,
        channels: Mapping[str, Channel],
        doors: Doors,
        seal: Seal,
        clock: Clock,
    ) -> None:
        finished = asyncio.Event()
        self._settings, self._clock, self._in_force = settings, clock, in_force
        self._calls = Calls(sessions, clock)
        patience_s = settings.notifier_disable_after_hours * 3600
        self.ledger = Ledger(sessions, lease_s=settings.notifier_lease_s, patience_s=patience_s)
        self.records = Records(sessions)
        self.sender = Sender(
            self.ledger,
            Targets(in_force.targets, sessions, seal, clock),
            channels,
            _pace(settings),
            clock,
            finished,
            self._calls.call,
        )
        self._outcomes = Outcomes(sessions, publisher, finished)
        self.dispatcher = Dispatcher(sessions, in_force, self.sender.wake, clock)
        self._silences, self._acknowledgements = Silences(sessions), Acknowledgements(sessions)
        self._trials = Trials(in_force.targets, channels, self.ledger, clock)
        intake = Intake(self.ledger, in_force, self.dispatcher.wake)
        self.consumer = Consumer(
            settings.kafka_bootstrap_servers,
            settings.notifier_group,
            subscribed_topics(),
            intake.handle,
            prepare=intake.prepare,
            dead_letters=KafkaDeadLetters(publisher),
            retry=RetryPolicy(is_transient=database_is_down),
            stall_s=settings.notifier_stall_s,
        )
        self.subscriptions = Subscriptions(sessions, seal)
        self._audit = Audit(sessions)
        self._gate = _gate(settings, Bearers(Tokens(sessions), clock), self._audit)
        self._doors, self._notices = doors, Notices(sessions, publisher)
        self._pruning = Pruning(sessions, timedelta(days=settings.notifier_keep_days))

    def web(self, health: Health) -> FastAPI:
        """The REST of this process."""
        app = create_app(
            "notifier", health, needs=POSTGRES, description="Deliveries of alerts and events, and their ledger."
        )
        overlap = timedelta(hours=self._settings.notifier_rotation_hours)
        parts = (self.subscriptions, self.ledger, self.sender, self._doors, self._clock, overlap)
        behind_gate = [Security(BEARER), Depends(self._gate.admit)]
        for router in (
            subscriptions.router(*parts),
            deliveries.router(self.records, self.ledger, self.sender),
            receivers.router(self._in_force, self._trials, self.sender.wake),
            silences.router(self._silences, self.dispatcher.wake, self._clock),
            acknowledgements.router(self._acknowledgements, self.records, self.dispatcher.wake),
            alerts.router(self.records, self._in_force),
            audit.router(self._audit),
        ):
            app.include_router(router, dependencies=behind_gate)
        return app

    async def send(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set, from when every secret could be opened; raises SealError if one cannot."""
        while not stop.is_set():
            try:
                if count := await self.subscriptions.seal_all():
                    log.info("subscriptions.sealed", count=count)
                break
            except Exception as error:
                if not database_is_down(error):
                    raise
                log.warning("seal.retry", reason=type(error).__name__)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 1.0)
        await self.sender.run(stop)

    async def check_sending(self) -> str | None:
        """Readiness: None, or since when something due lies there while nothing is recorded."""
        overdue = await self.records.oldest_due_s()
        quiet = self._clock.monotonic() - self.sender.last_progress
        stall = self._settings.notifier_stall_s
        if overdue is not None and overdue > stall and quiet > stall:
            return f"a delivery is overdue by {overdue:.0f} s and nothing was sent for {quiet:.0f} s"
        return None

    async def check_dispatching(self) -> str | None:
        """Readiness: None, or since when nobody has looked for groups, queues and reminders that are due."""
        name, last = min(self.dispatcher.last_look.items(), key=lambda part: part[1])
        quiet = self._clock.monotonic() - last
        return f"{name} has not got through for {quiet:.0f} s" if quiet > self._settings.notifier_stall_s else None

    async def run(self, health: Health, stop: asyncio.Event) -> None:
        """Run every part until `stop` is set."""
        await run_all(
            stop,
            serve(self.web(health), self._settings.host, self._settings.notifier_port, stop),
            self.consumer.run(stop),
            self.send(stop),
            self._outcomes.run(stop),
            self._notices.run(stop),
            self._in_force.watch(stop),
            self.dispatcher.run(stop),
            self._calls.listen(self.sender.wake, stop),
            self._pruning.run(stop),
        )


async def main(stop: asyncio.Event) -> None:
    """Run the notifier until `stop` is set."""
    settings, clock = NotifierSettings(), SystemClock()
    try:
        in_force = NotifyInForce(settings.datalab_config_dir / "notify.yaml", environment(), clock)
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    guard, seal = Guard(settings.notifier_allowed_hosts), _seal(settings)
    async with AsyncExitStack() as stack:
        engine = create_engine(settings.require_database_url(), pool_size=10)
        stack.push_async_callback(engine.dispose)
        publisher = await stack.enter_async_context(
            Publisher(settings.kafka_bootstrap_servers, settings.notifier_group)
        )
        outgoing = await stack.enter_async_context(Outgoing(guard, clock))
        sessions = create_sessions(engine)
        blocks = PrefectBlocks(
            await stack.enter_async_context(httpx.AsyncClient(timeout=5, trust_env=False)),
            settings.prefect_api_url,
            clock,
        )
        channels = build_channels(settings, outgoing, publisher, blocks, clock)
        doors = Doors(guard, Consent(outgoing, settings.notifier_origin))
        notifier = Notifier(settings, in_force, sessions, publisher, channels, doors, seal, clock)
        health = Health()
        health.check("database", lambda: check_database(engine))
        health.check("kafka", notifier.consumer.check)
        health.check("sending", notifier.check_sending)
        health.check("dispatching", notifier.check_dispatching)
        health.note("config", in_force.note)
        try:
            await notifier.run(health, stop)
        except SealError as error:
            raise SystemExit(f"notifier: {error}") from None


def _gate(settings: NotifierSettings, bearers: Bearers, audit_log: Audit) -> Gate:
    """Where others than this machine can ask, changes need a token; the services of the lab read without one."""
    beyond = listens_beyond_this_machine(settings.host)
    given = settings.notifier_require_tokens
    return Gate(bearers, audit_log, to_read=bool(given), to_write=beyond if given is None else given)


def _seal(settings: NotifierSettings) -> Seal:
    given = settings.notifier_secret_key.get_secret_value() if settings.notifier_secret_key else None
    file = settings.datalab_home / "secrets" / "notifier.key"
    try:
        return load_seal(given, file)
    except SealError as error:
        raise SystemExit(str(error)) from None
    except OSError as error:
        raise SystemExit(
            f"NOTIFIER_SECRET_KEY is not set, and {file} cannot be used: {error.strerror}; set it, or DATALAB_HOME"
        ) from None


def _pace(settings: NotifierSettings) -> Pace:
    return Pace(
        settings.notifier_slots,
        settings.notifier_per_target,
        settings.notifier_deadline_s,
        settings.notifier_poll_s,
        settings.notifier_retry_s,
    )
