"""Reads what decisions about alerts depend on beside the alerts themselves: the database's time, alerts that fire and
may inhibit others, silences in force."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.notifier import AlertRow
from datalab.store.tables.notifier_alerting import SilenceRow
from services.notifier.config import Inhibition, NotifyConfig
from services.notifier.matching import Judged, Matchers, matches
from services.notifier.verdicts import Circumstances, Silence, Source

# Of an inhibition's sources one is enough; more than these are not looked at.
_SOURCES_AT_MOST = 1000


async def circumstances(session: AsyncSession, alerts: Sequence[Judged], config: NotifyConfig) -> Circumstances:
    """What is to be known now about these alerts, as the session's transaction sees it."""
    now = await session.scalar(select(func.now()))
    assert now is not None, "a database knows the time"
    sources = [source for rule in config.inhibit for source in await _sources(session, alerts, rule)]
    return Circumstances(now, sources, await _silences(session))


async def _sources(session: AsyncSession, alerts: Sequence[Judged], rule: Inhibition) -> Sequence[Source]:
    """Firing alerts that may be the rule's source. Labels and severity narrow it here, patterns do later."""
    hit = [alert for alert in alerts if matches(alert, rule.target)]
    if not hit:
        return []
    statement = select(AlertRow).where(AlertRow.status == "firing")
    for name in rule.equal:
        values = {alert.labels.get(name, "") for alert in hit}
        statement = statement.where(func.coalesce(AlertRow.labels[name].astext, "").in_(values))
    if rule.source.severity:
        statement = statement.where(AlertRow.severity.in_(rule.source.severity))
    rows = (await session.scalars(statement.limit(_SOURCES_AT_MOST))).all()
    return [Source(row.fingerprint, row.rule, row.severity, row.labels, row.summary) for row in rows]


async def _silences(session: AsyncSession) -> Sequence[Silence]:
    in_force = select(SilenceRow).where(SilenceRow.starts_at <= func.now(), SilenceRow.ends_at > func.now())
    return [
        Silence(row.id, Matchers.model_validate(row.matchers), row.author, row.comment, row.ends_at)
        for row in await session.scalars(in_force)
    ]
