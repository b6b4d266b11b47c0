"""Episodes in Postgres: `troubles` has what is known, `advance` goes on from it; stores what is to be told of it.

All of it in the caller's transaction. Publishing is `outbox`'s work, after the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor import EpisodeRow
from schemas.alerts import AlertFiring, AlertResolved
from schemas.envelope import Event, event_id, new_event
from services.monitor.advance import Bearing, Case, Outcome, Step, advance, case_of
from services.monitor.decide import Sign
from services.monitor.rules import AlertRule
from services.monitor.troubles import Troubles
from services.monitor.wording import Pages, word

SOURCE = "datalab/monitor"


async def apply(
    session: AsyncSession, bearings: Sequence[Bearing], *, now: datetime, pages: Pages, again: bool = False
) -> list[Outcome]:
    """Let events have their effects on alerts, one after another; `again` for those that were held back."""
    cases = [case_of(bearing) for bearing in bearings]
    troubles = await Troubles.locked(session, {case.fingerprint: case.bearing.rule.name for case in cases})
    seen = await _seen(session, cases)
    announcer = _Announcer(session, now, pages)
    outcomes = []
    for case in cases:
        step = advance(case, troubles[case.fingerprint], seen=case.episode in seen, now=now if again else None)
        troubles[case.fingerprint] = step.trouble
        await announcer.tell(case, step)
        if step.begins:
            seen.add(case.episode)
        outcomes.append(step.outcome)
    await troubles.store(session)
    return outcomes


async def _seen(session: AsyncSession, cases: Sequence[Case]) -> set[str]:
    """Which of the episodes there were before."""
    asked = [case.episode for case in cases if case.bearing.verdict.sign is Sign.BAD]
    if not asked:
        return set()
    return set((await session.execute(select(EpisodeRow.episode).where(EpisodeRow.episode.in_(asked)))).scalars())


class _Announcer:
    """Writes episodes with the alert events to publish."""

    def __init__(self, session: AsyncSession, now: datetime, pages: Pages) -> None:
        self._session, self._now, self._pages = session, now, pages

    async def tell(self, case: Case, step: Step) -> None:
        """What is to be told of a step, in its order."""
        if step.ended is not None:
            await self.resolve(*step.ended)
        if step.flapping is not None:
            episode, times = step.flapping
            row = await self._row(episode)
            row.annotations = {**row.annotations, "flapping": f"the trouble returned {times} times"}
        if step.begins:
            await self.fire(case)

    async def fire(self, case: Case) -> None:
        """A new episode; one of the same trouble that ended in this transaction is stored as ended before it."""
        rule, event, _, _, _ = case.bearing
        alert = _firing(rule, event, case.labels, case.fingerprint, case.episode, self._pages)
        await self._session.flush()
        self._session.add(
            EpisodeRow(
                **alert.model_dump(), status="firing", firing_event=_announcement(alert, "firing", event, self._now)
            )
        )

    async def resolve(self, episode: str, event: Event) -> None:
        """The end of an episode."""
        row = await self._row(episode)
        annotations = {**row.annotations, "resolved_by": event.id}
        alert = AlertResolved.model_validate(
            {**row.firing_event["data"], "ends_at": event.time, "annotations": annotations}
        )
        row.status, row.ends_at, row.annotations = "resolved", alert.ends_at, alert.annotations
        row.resolved_event = _announcement(alert, "resolved", event, self._now)
        row.updated_at = self._now

    async def _row(self, episode: str) -> EpisodeRow:
        await self._session.flush()  # it may be one of this transaction
        return (await self._session.execute(select(EpisodeRow).where(EpisodeRow.episode == episode))).scalar_one()


def _firing(
    rule: AlertRule, event: Event, labels: dict[str, str], print_: str, episode: str, pages: Pages
) -> AlertFiring:
    wording = word(rule, event, labels, pages=pages)
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
