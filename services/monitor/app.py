"""How the monitor is put together: settings in, a running service out. No logic of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from typing import NamedTuple

import httpx
from fastapi import FastAPI

from datalab.bus.deadletters import KafkaDeadLetters
from datalab.bus.publisher import Publisher
from datalab.bus.retry import RetryPolicy
from datalab.runtime.clock import Clock, SystemClock
from datalab.runtime.health import Health
from datalab.runtime.logs import get_logger
from datalab.runtime.rounds import Rounds
from datalab.runtime.serving import run_all, serve
from datalab.runtime.web import create_app
from datalab.store.changes import changes_need
from datalab.store.engine import POSTGRES, check_database, create_engine, create_sessions, database_is_down
from services.monitor.api.routes import routes
from services.monitor.burn import Burns
from services.monitor.effects import Effects
from services.monitor.gauges import Gauges
from services.monitor.intake import Intake
from services.monitor.log_lines import PrefectLogs
from services.monitor.outbox import Outbox
from services.monitor.overruns import Overruns
from services.monitor.progress import Progress
from services.monitor.pruning import Pruning
from services.monitor.rule_file import RuleFileError
from services.monitor.rules import TOPICS
from services.monitor.rules_in_force import RulesInForce
from services.monitor.settings import MonitorSettings
from services.monitor.stream import EventStream, StreamStalledError
from services.monitor.troubles import is_taken
from services.monitor.wording import Pages

log = get_logger(__name__)
_READ_EVERY_S, _PRUNE_EVERY_S = 2.0, 3600.0
# Measurements never stop coming, and none says that a run or a service is well.
_DECISIVE = tuple(topic for topic in TOPICS if topic != "lab.metrics")


class Monitor(NamedTuple):
    """The long-lived parts."""

    app: FastAPI
    stream: EventStream
    outbox: Outbox
    lookout: Rounds
    burns: Rounds
    gauges: Rounds
    reading: Rounds
    pruning: Rounds


async def build(settings: MonitorSettings, stack: AsyncExitStack, *, clock: Clock | None = None) -> Monitor:
    """Wire the parts; what they hold is released with `stack`, in reverse. Raises RuleFileError, ValueError."""
    clock = clock or SystemClock()
    rules = RulesInForce(settings.alerts_file, clock)
    engine = create_engine(settings.require_database_url())
    stack.push_async_callback(engine.dispose)
    sessions = create_sessions(engine)
    publisher = await stack.enter_async_context(
        Publisher(settings.kafka_bootstrap_servers, settings.monitor_group, request_timeout_s=5.0, connect_later=True)
    )
    client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
    logs = PrefectLogs(settings.prefect_api_url, client, clock)
    outbox = Outbox(sessions, publisher, clock, every_s=settings.monitor_publish_every_s, last_lines=logs)
    pages = Pages(settings.prefect_pages, (settings.dashboard_url or "").rstrip("/"))
    effects = Effects(sessions, rules, clock, pages=pages, changed=outbox.wake)
    retry = RetryPolicy(longest_s=5.0, is_transient=lambda error: database_is_down(error) or is_taken(error))
    intake = Intake(settings.monitor_group, effects.take, KafkaDeadLetters(publisher), retry, clock)
    overruns = Overruns(sessions, publisher, rules, clock)
    progress = Progress(settings.monitor_stall_s, clock.monotonic)
    stream = EventStream(
        bootstrap=settings.kafka_bootstrap_servers,
        group=settings.monitor_group,
        topics=TOPICS,
        folder=settings.datalab_home / "monitor",
        taker=intake,
        progress=progress,
        broker_answers=lambda: _answers(publisher),
    )
    # While events wait to be handled, a run may only look as if it still ran, and trouble as if it were over.
    lookout = Rounds(
        "lookout",
        settings.monitor_look_every_s,
        overruns.look,
        effects.release,
        may_begin=lambda: all(progress.caught_up(topic) for topic in _DECISIVE),
    )
    burns = Rounds(
        "burn",
        settings.monitor_burn_every_s,
        Burns(sessions, publisher, rules, clock).look,
        may_begin=lambda: progress.caught_up("lab.runs"),
    )
    gauges = Rounds("gauges", settings.monitor_gauges_every_s, Gauges(sessions, clock).refresh)
    reading = Rounds("rules", _READ_EVERY_S, rules.refresh)
    pruning = Rounds("pruning", _PRUNE_EVERY_S, Pruning(sessions, clock, settings.monitor_keep_days).prune)
    health = Health()
    health.check("database", lambda: check_database(engine))
    health.check("stream", stream.check)
    health.check("outbox", outbox.check)
    health.check("overruns", overruns.check)
    app = create_app(
        "monitor", health, needs=POSTGRES, description="Run history, alerts and metrics from the lab's events."
    )
    changes = changes_need("monitor", settings.host, sessions, clock, tokens_required=settings.monitor_require_tokens)
    app.include_router(routes(sessions, rules, clock, changes))
    return Monitor(app, stream, outbox, lookout, burns, gauges, reading, pruning)


async def main(stop: asyncio.Event) -> None:
    """Run until `stop`. Ends the process with status 1 where only a new one helps."""
    monitor: Monitor | None = None
    status = 0
    try:
        async with AsyncExitStack() as stack:
            settings = MonitorSettings()
            monitor = await build(settings, stack)
            await run_all(
                stop,
                serve(monitor.app, settings.host, settings.monitor_port, stop),
                monitor.stream.run(stop),
                monitor.outbox.run(stop),
                monitor.lookout.run(stop),
                monitor.burns.run(stop),
                monitor.gauges.run(stop),
                monitor.reading.run(stop),
                monitor.pruning.run(stop),
            )
    except (RuleFileError, StreamStalledError, OSError, ValueError) as error:
        log.critical("monitor.failed", reason=str(error))
        status = 1
    except Exception as error:  # left to Python, the process would wait for faust's threads and never end
        log.critical("monitor.failed", exc_info=error)
        status = 1
    if status or (monitor is not None and monitor.stream.stuck):
        # A thread of faust may be stuck, and Python would wait for it for ever. Nothing is lost: what was handled
        # is in Postgres, and what was not is seen again.
        sys.stdout.flush()
        os._exit(status)


async def _answers(publisher: Publisher) -> bool:
    try:
        async with asyncio.timeout(5.0):
            return await publisher.check() is None
    except Exception:  # whatever the client raises, it is not an answer
        return False
