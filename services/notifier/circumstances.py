"""Reads what a decision about an alert depends on beside the alert itself: the database's time, and firing alerts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.notifier import AlertRow
from services.notifier.config import Inhibition, NotifyConfig
from services.notifier.matching import Judged, matches
from services.notifier.routing import Circumstances, Source

# Of an inhibition's sources one is enough; more than these are not looked at.
_SOURCES_AT_MOST = 200


async def circumstances(session: AsyncSession, alert: Judged, config: NotifyConfig) -> Circumstances:
    """What is to be known now about this alert, as the session's transaction sees it."""
    now = await session.scalar(select(func.now()))
    assert now is not None, "a database knows the time"
    sources = [source for rule in config.inhibit for source in await _sources(session, alert, rule)]
    return Circumstances(now, sources)


async def _sources(session: AsyncSession, alert: Judged, rule: Inhibition) -> Sequence[Source]:
    """Firing alerts that may be the rule's source. Labels and severity narrow it here, patterns do later."""
    if not matches(alert, rule.target):
        return []
    statement = select(AlertRow).where(AlertRow.status == "firing", AlertRow.fingerprint != alert.fingerprint)
    for name in rule.equal:
        statement = statement.where(func.coalesce(AlertRow.labels[name].astext, "") == alert.labels.get(name, ""))
    if rule.source.severity:
        statement = statement.where(AlertRow.severity.in_(rule.source.severity))
    rows = (await session.scalars(statement.limit(_SOURCES_AT_MOST))).all()
    return [Source(row.fingerprint, row.rule, row.severity, row.labels, row.summary) for row in rows]
