"""Groups of alerts, as rows: a delivery that is planned into one makes it due, if it is not due yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.notifier_alerting import GroupRow
from services.notifier.planned import Planned


async def gather(session: AsyncSession, planned: Sequence[Planned]) -> None:
    """See to it that the groups of these deliveries become due: `wait` after the first, `interval` after the last
    message. Two deliveries of one group in one call count once."""
    waiting = {one.gathering.key: one for one in planned if one.held == "group" and one.gathering}
    rows = []
    for key, one in sorted(waiting.items()):
        gathering = one.gathering
        assert gathering is not None, "only those with a group are waiting in one"
        rows.append(
            {
                "group_key": key,
                "target_key": one.target_key,
                "route": one.route or "",
                "labels": dict(gathering.labels),
                "wait_s": gathering.wait.total_seconds(),
                "interval_s": gathering.interval.total_seconds(),
                "due_at": func.now() + gathering.wait,
            }
        )
    for row in rows:
        await session.execute(_due(row))


def _due(row: dict[str, Any]) -> Any:
    statement = insert(GroupRow).values(row)
    new, old = statement.excluded, GroupRow
    # A resolution knows nothing of its group but the key: what the group is called and how long it waits stays.
    known = new.labels != {}
    interval = func.make_interval(0, 0, 0, 0, 0, 0, case((known, new.interval_s), else_=old.interval_s))
    return statement.on_conflict_do_update(
        index_elements=[old.group_key],
        set_={
            "wait_s": case((known, new.wait_s), else_=old.wait_s),
            "interval_s": case((known, new.interval_s), else_=old.interval_s),
            "due_at": func.coalesce(old.due_at, func.greatest(new.due_at, old.flushed_at + interval)),
        },
    )
