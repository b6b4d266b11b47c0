"""Composition root of the bridge: builds its parts from the settings and releases them in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import httpx
from fastapi import FastAPI

from datalab.bus.consumer import Consumer
from datalab.bus.deadletters import KafkaDeadLetters
from datalab.bus.publisher import Publisher
from datalab.bus.retry import RetryPolicy, dependency_is_down
from datalab.bus.user_topics import ensure_user_topics
from datalab.runtime.clock import Clock, SystemClock
from datalab.runtime.health import Check, Health
from datalab.runtime.serving import run_all, serve
from datalab.runtime.web import create_app
from datalab.store.changes import changes_need
from datalab.store.engine import POSTGRES, Sessions, check_database, create_engine, create_sessions, database_is_down
from services.bridge.api import bridge_router
from services.bridge.burying import Burial
from services.bridge.consuming import Consuming, Subscribe
from services.bridge.dead_letters_api import dead_letters_router
from services.bridge.deployments import DeploymentMissingError, Deployments
from services.bridge.dispatcher import Dispatcher
from services.bridge.failures import Failures
from services.bridge.healing import Healing
from services.bridge.intake import Intake
from services.bridge.ledger import Ledger
from services.bridge.pauses import Pauses
from services.bridge.prefect_history import PrefectHistory
from services.bridge.prefect_http import PrefectAwayError, PrefectHttp
from services.bridge.prefect_runs import RunCreator
from services.bridge.prefect_servers import PrefectServers
from services.bridge.pruning import Pruning
from services.bridge.relay import Relay
from services.bridge.relay_lead import Leadership
from services.bridge.relay_outbox import Outbox
from services.bridge.relay_tail import PrefectTail
from services.bridge.rules import RuleBook
from services.bridge.rules_in_force import RulesInForce
from services.bridge.settings import BridgeSettings
from services.bridge.traces_api import traces_router
from services.bridge.trigger import TriggerHandler
from services.bridge.turns import Turns
from services.bridge.waiting import WaitingTriggers
from services.bridge.windows.closing import Closing
from services.bridge.windows.store import Windows

# So that one request computes while the other waits for Postgres.
_LANES_PER_SERVER = 2


@dataclass(frozen=True)
class Bridge:
    """A bridge that is built and not yet running."""

    app: FastAPI
    consuming: Consuming
    relay: Relay
    dispatcher: Dispatcher
    healing: Healing
    pruning: Pruning

    async def work(self, stop: asyncio.Event) -> None:
        """Consume, serve the queue and relay until `stop` is set, without the HTTP face. Raises StuckError where that
        leads nowhere."""
        parts = (self.relay, self.dispatcher, self.consuming, self.healing, self.pruning)
        await run_all(stop, *(part.run(stop) for part in parts))


class _Queue(NamedTuple):
    """What serves triggers that wait."""

    waiting: WaitingTriggers
    windows: Windows
    pauses: Pauses
    dispatcher: Dispatcher


@asynccontextmanager
async def build(
    settings: BridgeSettings, *, publisher: Publisher | None = None, clock: Clock | None = None
) -> AsyncIterator[Bridge]:
    """The bridge with all it needs, open for the length of the block. Raises RuleFileError for bad rules."""
    clock = clock or SystemClock()
    rules = RulesInForce(settings.rules_dir, clock)
    async with AsyncExitStack() as stack:
        engine = create_engine(settings.require_database_url())
        stack.push_async_callback(engine.dispose)
        if publisher is None:
            publisher = await stack.enter_async_context(Publisher(settings.kafka_bootstrap_servers, "bridge"))
        client = await stack.enter_async_context(_prefect_client(settings))
        http = PrefectHttp(client, settings.prefect_api_url)
        sessions = create_sessions(engine)
        deployments, ledger = Deployments(http, clock), Ledger(sessions)
        servers = PrefectServers(http, [PrefectHttp(client, url) for url in settings.prefect_creators], clock)
        runs = RunCreator(servers, deployments)
        # Consuming comes last, for it needs all that is fed; it is only asked while the bridge runs.
        queue = _queue(settings, rules, runs, sessions, publisher, clock, lambda: consuming.has_caught_up)
        intake = Intake(queue.waiting, queue.windows, queue.pauses, queue.dispatcher.wake)
        handler = TriggerHandler(
            rules,
            ledger,
            intake,
            runs,
            clock,
            patience_s=settings.bridge_deployment_patience_s,
            lanes=_LANES_PER_SERVER * len(servers),
        )
        relay = Relay(
            PrefectHistory(http),
            Outbox(engine, publisher),
            Leadership(engine),
            PrefectTail(settings.kafka_bootstrap_servers, clock),
            clock,
            poll_s=settings.bridge_relay_poll_s,
            look_s=settings.bridge_relay_look_s,
            stall_s=settings.bridge_stall_s,
        )
        subscribe = _subscribe(settings, handler, publisher)
        consuming = Consuming(rules, subscribe, poll_s=settings.bridge_rules_poll_s)

        health, progress, needs = Health(), Health(), Health(deadline_s=5.0)
        for kind in (health, needs):
            kind.check("database", lambda: check_database(engine))
            kind.check("prefect", http.check)
        needs.check("kafka", publisher.check)
        health.check("deployments", _deployments_known(rules, deployments))
        for kind in (health, progress):
            kind.check("relay", relay.check)
            kind.check("queue", queue.dispatcher.check)
            kind.check("kafka", consuming.check)
        app = create_app(
            "bridge", health, needs=POSTGRES, description="Events start flow runs, exactly one each; runs report back."
        )
        changes = changes_need("bridge", settings.host, sessions, clock, tokens_required=settings.bridge_require_tokens)
        app.include_router(bridge_router(rules, ledger, queue.pauses, queue.waiting, settings.prefect_pages, changes))
        letters = dead_letters_router(settings.kafka_bootstrap_servers, publisher, sessions, changes)
        app.include_router(letters)
        app.include_router(traces_router(settings.kafka_bootstrap_servers, sessions))
        healing = Healing(progress, needs, clock, after_s=settings.bridge_heal_s)
        pruning = Pruning(sessions, rules, timedelta(days=settings.bridge_keep_days))
        yield Bridge(app, consuming, relay, queue.dispatcher, healing, pruning)


async def run(stop: asyncio.Event) -> None:
    """The whole service until `stop` is set."""
    settings = BridgeSettings()
    async with build(settings) as bridge:
        await run_all(stop, serve(bridge.app, settings.host, settings.bridge_port, stop), bridge.work(stop))


def is_transient(error: Exception) -> bool:
    """Whether something the bridge needs is away, which no event is to blame for."""
    if isinstance(error, PrefectAwayError | DeploymentMissingError):
        return True
    return dependency_is_down(error) or database_is_down(error)


def _queue(
    settings: BridgeSettings,
    rules: RulesInForce,
    runs: RunCreator,
    sessions: Sessions,
    publisher: Publisher,
    clock: Clock,
    caught_up: Callable[[], bool],
) -> _Queue:
    waiting, windows, pauses = WaitingTriggers(sessions), Windows(sessions), Pauses(sessions, publisher)
    burial = Burial(KafkaDeadLetters(publisher), settings.bridge_group)
    turns = Turns(waiting, runs, burial, pauses, clock, patience_s=settings.bridge_deployment_patience_s)
    failures = Failures(waiting, burial, pauses)
    closing, poll_s = Closing(sessions, windows, caught_up), settings.bridge_queue_poll_s
    dispatcher = Dispatcher(rules, waiting, pauses, failures, closing, turns, clock, poll_s=poll_s)
    return _Queue(waiting, windows, pauses, dispatcher)


def _prefect_client(settings: BridgeSettings) -> httpx.AsyncClient:
    # The address is ours to know: proxies of the environment have no part in it.
    return httpx.AsyncClient(timeout=settings.bridge_prefect_timeout_s, trust_env=False)


def _subscribe(settings: BridgeSettings, handler: TriggerHandler, publisher: Publisher) -> Subscribe:
    async def subscribe(book: RuleBook) -> Consumer:
        # Nobody may have registered them yet; a group that joins without a topic would notice it minutes late.
        await ensure_user_topics(settings.kafka_bootstrap_servers, book.types)
        return Consumer(
            settings.kafka_bootstrap_servers,
            settings.bridge_group,
            book.topics,
            handler.handle,
            prepare=handler.prepare,
            dead_letters=KafkaDeadLetters(publisher),
            session_s=settings.bridge_session_s,
            retry=RetryPolicy(longest_s=5.0, is_transient=is_transient),
            stall_s=settings.bridge_stall_s,
        )

    return subscribe


def _deployments_known(rules: RulesInForce, deployments: Deployments) -> Check:
    async def check() -> str | None:
        missing = []
        for deployment, rule in rules.book.deployments.items():
            try:
                await deployments.get(deployment)
            except DeploymentMissingError:
                missing.append(f"{deployment} (rule {rule})")
        return f"not registered in Prefect: {', '.join(missing)}" if missing else None

    return check
