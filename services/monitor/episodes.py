"""Episodes in Postgres: reads what is known, lets `decide` judge, stores the outcome with the alert event to publish.

All of it in the caller's transaction. Publishing is `outbox`'s work, after the commit.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor import ConditionRow, EpisodeRow
from schemas.alerts import AlertFiring, AlertResolved
from schemas.envelope import Event, event_id, new_event
from services.monitor.criteria import Verdict
from services.monitor.decide import Action, Condition, Decision, decide, is_over, may_be_held
from services.monitor.identity import episode_id, fingerprint, labels_of
from services.monitor.rules import AlertRule
from services.monitor.wording import word

SOURCE = "datalab/monitor"


class Outcome(NamedTuple):
    """What an event did to the alert of one rule."""

    rule: str
    fingerprint: str
    episode: str | None
    decision: Decision


class Bearing(NamedTuple):
    """An event as one rule sees it: what it is worth, and from when that counts."""

    event: Event
    verdict: Verdict
    at: datetime


class _Known(NamedTuple):
    condition: Condition
    held: Event | None


async def apply(session: AsyncSession, rule: AlertRule, bearing: Bearing, *, now: datetime, prefect_ui: str) -> Outcome:
    """Let the event have its effect on the rule's alert."""
    event, verdict, at = bearing
    labels = labels_of(rule, event)
    print_ = fingerprint(rule.name, labels)
    episode = episode_id(print_, event.id)
    known, held = await _known(session, rule.name, print_)
    if verdict.sign is None:
        if verdict.held and may_be_held(at, known, held.time if held else None):
            await _store(session, print_, known, event)
        return Outcome(rule.name, print_, known.open_episode, Decision(Action.KEEP, verdict.reason, known))
    seen = bool((await session.execute(select(exists().where(EpisodeRow.episode == episode)))).scalar())
    decision = decide(verdict.sign, event.id, at, known, episode=episode, seen=seen)
    over = held is not None and (held.id == event.id or is_over(held.time, verdict.sign, at, decision.after))
    if over or decision.after != known:
        await _store(session, print_, decision.after, None if over else held)
    if decision.action is Action.FIRE:
        alert = _firing(rule, event, labels, print_, episode, prefect_ui)
        session.add(_row(alert, _announcement(alert, "firing", event, now)))
        await session.flush()
    elif decision.action is Action.RESOLVE and known.open_episode:
        await _resolve(session, known.open_episode, event, now)
    touched = episode if decision.action is Action.FIRE else known.open_episode
    return Outcome(rule.name, print_, touched, decision)


async def held_events(session: AsyncSession) -> list[tuple[str, Event]]:
    """Every event that is held back, with the name of its rule."""
    query = select(ConditionRow.rule, ConditionRow.held_event).where(ConditionRow.held_event.is_not(None))
    return [(row.rule, Event.model_validate(row.held_event)) for row in await session.execute(query)]


async def _known(session: AsyncSession, rule: str, print_: str) -> _Known:
    await session.execute(
        insert(ConditionRow)
        .values(fingerprint=print_, rule=rule)
        .on_conflict_do_nothing(index_elements=["fingerprint"])
    )
    row = (
        await session.execute(select(ConditionRow).where(ConditionRow.fingerprint == print_).with_for_update())
    ).scalar_one()
    open_ = await session.execute(
        select(EpisodeRow.episode).where(EpisodeRow.fingerprint == print_, EpisodeRow.status == "firing")
    )
    condition = Condition(open_.scalar_one_or_none(), row.last_bad_at, row.last_bad_event, row.last_good_at)
    return _Known(condition, None if row.held_event is None else Event.model_validate(row.held_event))


async def _store(session: AsyncSession, print_: str, after: Condition, held: Event | None) -> None:
    values = {
        "last_bad_at": after.last_bad_at,
        "last_bad_event": after.last_bad_event,
        "last_good_at": after.last_good_at,
        "held_event": held.model_dump(mode="json") if held else None,
    }
    await session.execute(update(ConditionRow).where(ConditionRow.fingerprint == print_).values(**values))


def _firing(
    rule: AlertRule, event: Event, labels: dict[str, str], print_: str, episode: str, prefect_ui: str
) -> AlertFiring:
    wording = word(rule, event, labels, prefect_ui=prefect_ui)
    return AlertFiring(
        fingerprint=print_,
        episode=episode,
        rule=rule.name,
        severity=rule.severity,
        summary=wording.summary,
        description=wording.description,
        labels=labels,
        annotations=wording.annotations,
        starts_at=event.time,
    )


def _row(alert: AlertFiring, announcement: dict[str, Any]) -> EpisodeRow:
    return EpisodeRow(**alert.model_dump(), status="firing", firing_event=announcement)


async def _resolve(session: AsyncSession, episode: str, event: Event, now: datetime) -> None:
    row = (await session.execute(select(EpisodeRow).where(EpisodeRow.episode == episode))).scalar_one()
    alert = AlertResolved.model_validate(
        {**row.firing_event["data"], "ends_at": event.time, "annotations": {**row.annotations, "resolved_by": event.id}}
    )
    row.status, row.ends_at, row.annotations = "resolved", alert.ends_at, alert.annotations
    row.resolved_event = _announcement(alert, "resolved", event, now)
    row.updated_at = now
    await session.flush()


def _announcement(alert: AlertFiring | AlertResolved, kind: str, cause: Event, now: datetime) -> dict[str, Any]:
    """The alert event as it will be published, however often it takes."""
    event = new_event(alert, source=SOURCE, id=event_id(kind, alert.episode), cause=cause, time=now)
    return event.model_dump(mode="json")
