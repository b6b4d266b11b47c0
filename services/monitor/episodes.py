"""Episodes in Postgres: `troubles` has what is known, `decide` judges; stores what comes of it with the alert event.

All of it in the caller's transaction. Publishing is `outbox`'s work, after the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor import EpisodeRow
from schemas.alerts import AlertFiring, AlertResolved
from schemas.envelope import Event, event_id, new_event
from services.monitor.criteria import Verdict
from services.monitor.decide import Action, Decision, Sign, decide, is_over, may_be_held
from services.monitor.identity import episode_id, fingerprint, labels_of
from services.monitor.rules import AlertRule
from services.monitor.troubles import Trouble, Troubles
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

    rule: AlertRule
    event: Event
    verdict: Verdict
    at: datetime


class _Case(NamedTuple):
    """A bearing with the trouble that it is about, and the episode that it would open."""

    bearing: Bearing
    labels: dict[str, str]
    fingerprint: str
    episode: str


async def apply(session: AsyncSession, bearings: Sequence[Bearing], *, now: datetime, prefect_ui: str) -> list[Outcome]:
    """Let events have their effects on alerts, one after another."""
    cases = [_case(bearing) for bearing in bearings]
    troubles = await Troubles.locked(session, {case.fingerprint: case.bearing.rule.name for case in cases})
    seen = await _seen(session, cases)
    announcer = _Announcer(session, now, prefect_ui)
    outcomes = []
    for case in cases:
        outcome = await _apply(case, troubles, announcer, seen=case.episode in seen)
        outcomes.append(outcome)
        if outcome.decision.action is Action.FIRE:
            seen.add(case.episode)
    await troubles.store(session)
    return outcomes


async def _apply(case: _Case, troubles: Troubles, announcer: _Announcer, *, seen: bool) -> Outcome:
    rule, event, verdict, at = case.bearing
    known, held = troubles[case.fingerprint]
    if verdict.sign is None:
        if verdict.held and may_be_held(at, known, held.time if held else None):
            troubles[case.fingerprint] = Trouble(known, event)
        return Outcome(rule.name, case.fingerprint, known.open_episode, Decision(Action.KEEP, verdict.reason, known))
    decision = decide(verdict.sign, event.id, at, known, episode=case.episode, seen=seen)
    over = held is not None and (held.id == event.id or is_over(held.time, verdict.sign, at, decision.after))
    troubles[case.fingerprint] = Trouble(decision.after, None if over else held)
    if decision.action is Action.FIRE:
        await announcer.fire(case)
    elif decision.action is Action.RESOLVE and known.open_episode:
        await announcer.resolve(known.open_episode, event)
    touched = case.episode if decision.action is Action.FIRE else known.open_episode
    return Outcome(rule.name, case.fingerprint, touched, decision)


def _case(bearing: Bearing) -> _Case:
    labels = labels_of(bearing.rule, bearing.event)
    print_ = fingerprint(bearing.rule.name, labels)
    # An id costs as much as all the rest, and nothing that ends a trouble has an episode.
    episode = "" if bearing.verdict.sign is Sign.GOOD else episode_id(print_, bearing.event.id)
    return _Case(bearing, labels, print_, episode)


async def _seen(session: AsyncSession, cases: Sequence[_Case]) -> set[str]:
    """Which of the episodes there were before."""
    asked = [case.episode for case in cases if case.bearing.verdict.sign is Sign.BAD]
    if not asked:
        return set()
    return set((await session.execute(select(EpisodeRow.episode).where(EpisodeRow.episode.in_(asked)))).scalars())


class _Announcer:
    """Writes episodes with the alert events to publish."""

    def __init__(self, session: AsyncSession, now: datetime, prefect_ui: str) -> None:
        self._session, self._now, self._prefect_ui = session, now, prefect_ui

    async def fire(self, case: _Case) -> None:
        """A new episode; one of the same trouble that ended in this transaction is stored as ended before it."""
        rule, event, _, _ = case.bearing
        alert = _firing(rule, event, case.labels, case.fingerprint, case.episode, self._prefect_ui)
        await self._session.flush()
        self._session.add(
            EpisodeRow(
                **alert.model_dump(), status="firing", firing_event=_announcement(alert, "firing", event, self._now)
            )
        )

    async def resolve(self, episode: str, event: Event) -> None:
        """The end of an episode."""
        await self._session.flush()
        row = (await self._session.execute(select(EpisodeRow).where(EpisodeRow.episode == episode))).scalar_one()
        annotations = {**row.annotations, "resolved_by": event.id}
        alert = AlertResolved.model_validate(
            {**row.firing_event["data"], "ends_at": event.time, "annotations": annotations}
        )
        row.status, row.ends_at, row.annotations = "resolved", alert.ends_at, alert.annotations
        row.resolved_event = _announcement(alert, "resolved", event, self._now)
        row.updated_at = self._now


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


def _announcement(alert: AlertFiring | AlertResolved, kind: str, cause: Event, now: datetime) -> dict[str, Any]:
    """The alert event as it will be published, however often it takes."""
    event = new_event(alert, source=SOURCE, id=event_id(kind, alert.episode), cause=cause, time=now)
    return event.model_dump(mode="json")
