"""The notifier's decisions on a real database, without its processes: events are stored, time passes, rows are read.

Nothing is sent: what a channel would have made of a message is recorded by `finish`.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, text

from datalab.runtime.clock import SystemClock
from datalab.store.engine import create_engine, create_sessions
from datalab.store.tables.notifier import DeliveryRow
from schemas.envelope import Event, new_event
from services.notifier.acknowledgements import Acknowledgements
from services.notifier.delivery import Delivery, Result
from services.notifier.dispatch.dispatcher import Dispatcher
from services.notifier.in_force import NotifyInForce
from services.notifier.ledger import Ledger
from services.notifier.matching import Matchers
from services.notifier.outcomes import outcome
from services.notifier.planned import Alert
from services.notifier.retries import Attempted, Dead, Decision, Delivered, Retry
from services.notifier.silences import NewSilence, Silences
from tests.integration.notifier.parts import alert

RECEIVERS = """
receivers:
  - {name: mail, channel: email, to: [team@datalab.example], rate: 1000/s, burst: 1000}
  - {name: chat, channel: slack, url: "https://chat.example/x", rate: 1000/s, burst: 1000}
  - {name: pager, channel: webhook, url: "https://pager.example/x"}
"""
PLAIN = "routes:\n  - {name: all, receivers: [mail, pager], repeat_interval: 4h}\n"
GROUPED = "routes:\n  - {name: all, receivers: [mail, pager], group_by: [rule], group_wait: 30s, group_interval: 5m}\n"
ENVIRONMENT = {"SMTP_HOST": "mail.example"}


class Desk:
    """One notifier's worth of parts over the database."""

    def __init__(self, database_url: str, path: Path) -> None:
        self._engine, self.path = create_engine(database_url), path
        self.sessions = create_sessions(self._engine)
        self.in_force = NotifyInForce(path, ENVIRONMENT, SystemClock())
        self.ledger = Ledger(self.sessions, lease_s=30, patience_s=3600)
        self.dispatcher = Dispatcher(self.sessions, self.in_force, lambda: None, SystemClock())
        self.silences, self.acknowledgements = Silences(self.sessions), Acknowledgements(self.sessions)
        self.mark = uuid.uuid4().hex[:8]

    async def clear(self) -> None:
        """Forget all alerts of before."""
        tables = ["deliveries", "alerts", "told", "silences", "groups", "escalations", "paces"]
        async with self.sessions.begin() as session:
            await session.execute(text(f"TRUNCATE {', '.join(f'notifier_{name}' for name in tables)} CASCADE"))

    def name(self, fingerprint: str) -> str:
        """The fingerprint, of this desk alone."""
        return f"{fingerprint}-{self.mark}"

    async def fire(self, *fingerprints: str, episode: str = "1", **more: Any) -> list[Event]:
        """Alerts fire, in one batch."""
        named = [self.name(one) for one in fingerprints]
        return await self.store(*(alert(one, episode=f"{one}-{episode}", **more) for one in named))

    async def resolve(self, *fingerprints: str, episode: str = "1", **more: Any) -> list[Event]:
        """Alerts are over, in one batch."""
        named = [self.name(one) for one in fingerprints]
        return await self.store(*(alert(one, resolved=True, episode=f"{one}-{episode}", **more) for one in named))

    async def store(self, *alerts: Alert) -> list[Event]:
        """Receive their events, and look at what time brings."""
        received = [(new_event(one, source="test"), one) for one in alerts]
        await self.ledger.store(received, self.in_force.routing)
        await self.dispatcher.look()
        return [event for event, _ in received]

    async def write(self, config: str) -> None:
        """Another file is in force."""
        self.path.write_text(config)
        assert self.in_force.refresh(), self.in_force.fault

    async def pass_time(self, seconds: float) -> None:
        """All that is to come comes so much sooner, and all that was is so much longer ago."""
        columns = {
            "notifier_told": ("next_at",),
            "notifier_groups": ("due_at", "flushed_at"),
            "notifier_escalations": ("due_at",),
            "notifier_silences": ("starts_at", "ends_at"),
            "notifier_paces": ("refilled_at",),
            "notifier_deliveries": ("created_at", "next_attempt_at", "finished_at"),
            "notifier_alerts": ("updated_at",),
        }
        async with self.sessions.begin() as session:
            for table, names in columns.items():
                changes = ", ".join(f"{name} = {name} - make_interval(secs => {seconds})" for name in names)
                await session.execute(text(f"UPDATE {table} SET {changes}"))
        await self.dispatcher.look()

    async def claim(self) -> list[Delivery]:
        """What a sender would send now."""
        return [one for one in await self.ledger.claim(1000, 1000, {}) if self._ours(one)]

    async def finish(self, reason: str | None = None, *, retry: bool = False) -> list[Delivery]:
        """Send all that is due: delivered, or failed for this reason."""
        claimed = await self.claim()
        decision: Decision = Retry(3600.0) if retry else Dead(reason) if reason else Delivered()
        result = Result(reason is None, reason, 500 if reason else 200)
        if claimed:
            await self.ledger.record([Attempted(one, result, decision, 0.0) for one in claimed])
        await self.dispatcher.look()
        return claimed

    async def rows(self, *fingerprints: str) -> list[Any]:
        """Deliveries in the order in which they were stored; of these alerts, or of all of this desk."""
        async with self.sessions() as session:
            found = (await session.execute(text("SELECT * FROM notifier_deliveries ORDER BY seq"))).all()
        wanted = {self.name(one) for one in fingerprints}
        return [row for row in found if (row.fingerprint in wanted if wanted else self.mark in str(row.event))]

    async def outcomes(self) -> list[Event]:
        """What is reported of deliveries that have ended."""
        trace = DeliveryRow.event["traceparent"].as_string().label("traceparent")
        ended = select(DeliveryRow.__table__, trace).where(
            DeliveryRow.status.in_(("delivered", "dead")), ~DeliveryRow.outcome_published
        )
        async with self.sessions() as session:
            found = (await session.execute(ended.order_by(DeliveryRow.seq))).all()
        return [outcome(row) for row in found if self.mark in str(row.event)]

    def _ours(self, delivery: Delivery) -> bool:
        return self.mark in delivery.event.model_dump_json() or delivery.event.type.startswith("lab.notification.")


@asynccontextmanager
async def desk(database_url: str, tmp_path: Path, routes: str, *, after: Desk | None = None) -> AsyncIterator[Desk]:
    """A desk that goes by these routes, on empty tables; or beside or after another one, with what that has stored."""
    path = tmp_path / "notify.yaml"
    path.write_text(RECEIVERS + routes)
    made = Desk(database_url, path)
    try:
        if after is None:
            await made.clear()
        else:
            made.mark = after.mark
        yield made
    finally:
        await made._engine.dispose()


def silence(matchers: dict[str, Any], *, for_: timedelta = timedelta(hours=1)) -> NewSilence:
    now = datetime.now(UTC)
    return NewSilence(Matchers.model_validate(matchers), now - timedelta(seconds=5), now + for_, "ana", "planned work")


def statuses(rows: list[Any]) -> list[tuple[str, str, str]]:
    return [(row.target, row.kind, row.status) for row in rows]
