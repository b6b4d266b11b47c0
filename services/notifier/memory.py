"""What is known of the alerts in a batch of events: read once, kept from event to event, written once, all in the
transaction that stores their deliveries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from sqlalchemy import delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.notifier import AlertRow, DeliveryRow
from datalab.store.tables.notifier_alerting import EscalationRow, ToldRow
from schemas.alerts import AlertResolved
from schemas.envelope import Event, event_id
from services.notifier.circumstances import circumstances
from services.notifier.config import NotifyConfig
from services.notifier.gathering import gather
from services.notifier.planned import Alert, Plan, Planned
from services.notifier.routing import Routing
from services.notifier.standing import Standing, Told
from services.notifier.statements import firing_upsert, lock_alerts, resolved_upsert
from services.notifier.verdicts import Circumstances, Source


class Memory:
    """Plans event by event, each with what those before it in the batch have changed."""

    def __init__(self, around: Circumstances, standings: dict[str, Standing]) -> None:
        self._around, self._standings = around, standings
        self._plans: list[tuple[Event, Alert, Plan]] = []
        self._superseded: list[tuple[str, Alert]] = []

    @classmethod
    async def read(cls, session: AsyncSession, alerts: Sequence[Alert], config: NotifyConfig) -> Self:
        """What is known about these alerts; rows of those that were told stay locked until the transaction ends."""
        around = await circumstances(session, alerts, config)
        standings: dict[str, Standing] = {}
        for fingerprint in {alert.fingerprint for alert in alerts}:
            standings[fingerprint] = Standing(fingerprint)
        for told in await lock_alerts(session, standings):
            standings[told.fingerprint].told[told.target_key] = told_of(told)
        episodes = {alert.episode for alert in alerts}
        known = select(AlertRow).where(
            or_(AlertRow.episode.in_(episodes), AlertRow.status == "firing"), AlertRow.fingerprint.in_(standings)
        )
        for row in await session.scalars(known.order_by(AlertRow.starts_at)):
            _remember(standings[row.fingerprint], row)
        await _forget_lost(session, alerts, standings)
        return cls(around, standings)

    def plan(self, event: Event, alert: Alert, routing: Routing) -> Sequence[Planned]:
        """The deliveries of this event, which comes next."""
        standing = self._standings[alert.fingerprint]
        if event.id in standing.events:
            return []
        plan = routing.plan(event, alert, self._around, standing)
        standing.events.add(event.id)
        self._plans.append((event, alert, plan))
        if isinstance(alert, AlertResolved):
            self._over(alert, standing, plan)
        elif alert.episode not in standing.ended:
            self._fires(event, alert, standing, plan)
        return plan.deliveries

    async def write(self, session: AsyncSession) -> None:
        """Write what has changed."""
        for resolved, statement in ((False, firing_upsert()), (True, resolved_upsert())):
            rows = [_alert_row(e, a) for e, a, _ in self._plans if isinstance(a, AlertResolved) is resolved]
            if rows:
                await session.execute(statement, rows)
        for episode, by in self._superseded:
            over = {"status": "resolved", "ends_at": by.starts_at}
            await session.execute(update(AlertRow).where(AlertRow.episode == episode).values(over))
            # Who was told of the old one is reminded of the new one.
            await session.execute(update(ToldRow).where(ToldRow.episode == episode).values(episode=by.episode))
        await self._write_told(session)
        await self._write_escalations(session)
        await gather(session, [one for _, _, plan in self._plans for one in plan.deliveries])

    def _over(self, alert: Alert, standing: Standing, plan: Plan) -> None:
        standing.ended.add(alert.episode)
        if plan.over:
            standing.told.clear()
            standing.episode = None
            left = [source for source in self._around.sources if source.fingerprint != alert.fingerprint]
            self._around = replace(self._around, sources=left)

    def _fires(self, event: Event, alert: Alert, standing: Standing, plan: Plan) -> None:
        if standing.episode not in (None, alert.episode):
            self._superseded.append((standing.episode or "", alert))
        elif standing.episode is None:
            standing.firing_event_id = event.id
        standing.episode = alert.episode
        standing.told |= {told.target_key: told for told in plan.told}
        source = Source(alert.fingerprint, alert.rule, alert.severity, alert.labels, alert.summary)
        self._around = replace(self._around, sources=[*self._around.sources, source])

    async def _write_told(self, session: AsyncSession) -> None:
        changed: dict[str, tuple[Event, Alert]] = {
            alert.fingerprint: (event, alert) for event, alert, plan in self._plans if plan.told or plan.over
        }
        if not changed:
            return
        await session.execute(delete(ToldRow).where(ToldRow.fingerprint.in_(changed)))
        rows = [
            told_values(told, event, alert)
            for fingerprint, (event, alert) in changed.items()
            for told in self._standings[fingerprint].told.values()
        ]
        if rows:
            await session.execute(insert(ToldRow).on_conflict_do_nothing(), rows)

    async def _write_escalations(self, session: AsyncSession) -> None:
        steps: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for event, alert, plan in self._plans:
            if plan.over:
                steps.pop(alert.episode, None)
            steps[alert.episode] += [
                {
                    "id": event_id(alert.episode, route, str(number)),
                    "episode": alert.episode,
                    "fingerprint": alert.fingerprint,
                    "event_id": event.id,
                    "route": route,
                    "step": number,
                    "receivers": step.receivers,
                    "after_s": step.after.total_seconds(),
                    "due_at": self._around.now + step.after,
                }
                for route, number, step in plan.escalations
            ]
        over = [alert.episode for _, alert, plan in self._plans if plan.over]
        if over:
            await session.execute(delete(EscalationRow).where(EscalationRow.episode.in_(over)))
        if rows := [row for each in steps.values() for row in each]:
            await session.execute(insert(EscalationRow).on_conflict_do_nothing(), rows)


async def _forget_lost(session: AsyncSession, alerts: Sequence[Alert], standings: Mapping[str, Standing]) -> None:
    """Who could not be told the beginning, after all attempts, is not told the end."""
    ending = {alert.fingerprint for alert in alerts if isinstance(alert, AlertResolved)}
    told = {one.delivery_id: (f, one) for f in ending for one in standings[f].told.values() if one.heard}
    if not told:
        return
    lost = select(DeliveryRow.id, DeliveryRow.reason).where(DeliveryRow.id.in_(told), DeliveryRow.status == "dead")
    for id_, reason in await session.execute(lost):
        fingerprint, one = told[id_]
        standings[fingerprint].told[one.target_key] = replace(one, heard=False, reason=reason)


def told_of(row: ToldRow) -> Told:
    """The row as a value."""
    return Told(
        row.target_key,
        row.channel,
        row.target,
        row.route,
        row.delivery_id,
        row.heard,
        row.group_key,
        row.reason,
        row.repeat_s,
        row.next_at,
    )


def told_values(told: Told, event: Event, alert: Alert) -> dict[str, Any]:
    """The columns of a target that was told, or not, of this event."""
    names = ("target_key", "channel", "target", "route", "delivery_id", "heard", "group_key", "reason", "repeat_s")
    values = {name: getattr(told, name) for name in (*names, "next_at")}
    return {**values, "fingerprint": alert.fingerprint, "episode": alert.episode, "event_id": event.id}


def _remember(standing: Standing, row: AlertRow) -> None:
    standing.events |= {event for event in (row.firing_event_id, row.resolved_event_id) if event}
    if row.status == "firing":
        standing.episode, standing.firing_event_id = row.episode, row.firing_event_id
    else:
        standing.ended.add(row.episode)


def _alert_row(event: Event, alert: Alert) -> dict[str, Any]:
    values = alert.model_dump(
        include={"episode", "fingerprint", "rule", "severity", "summary", "labels", "starts_at", "ends_at"}
    )
    resolved = isinstance(alert, AlertResolved)
    values |= {"status": "resolved" if resolved else "firing", "correlation_id": event.correlation}
    values["resolved_event_id" if resolved else "firing_event_id"] = event.id
    return values
