"""Changing limits in Postgres. Each change counts up a version, so that nobody overwrites another's unseen."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor_limits import RuleSwitchRow, ThresholdRow
from services.monitor.limit_store import Stored
from services.monitor.limits import Threshold


class Change(NamedTuple):
    """What is to be changed; None stays as it is."""

    value: float | None = None
    overrides: dict[str, float] | None = None
    enabled: bool | None = None


async def locked(session: AsyncSession, threshold: Threshold, now: datetime) -> Stored:
    """What is stored of one threshold and its rule's switch; nobody else changes it until the transaction ends."""
    new = insert(ThresholdRow).values(rule=threshold.rule, name=threshold.name, version=0, updated_at=now)
    await session.execute(new.on_conflict_do_nothing())
    query = select(ThresholdRow).where(ThresholdRow.rule == threshold.rule, ThresholdRow.name == threshold.name)
    row = (await session.execute(query.with_for_update())).scalar_one()
    return Stored(row, await locked_switch(session, threshold.rule, now))


async def locked_switch(session: AsyncSession, rule: str, now: datetime) -> RuleSwitchRow:
    """The rule's switch; nobody else changes it until the transaction ends."""
    new = insert(RuleSwitchRow).values(rule=rule, enabled=True, version=0, updated_at=now)
    await session.execute(new.on_conflict_do_nothing())
    return (
        await session.execute(select(RuleSwitchRow).where(RuleSwitchRow.rule == rule).with_for_update())
    ).scalar_one()


def apply(rows: Stored, change: Change, now: datetime) -> None:
    """Change the rows that `locked` gave."""
    row, switch = rows.threshold, rows.switch
    if row is not None and (change.value is not None or change.overrides is not None):
        row.value = row.value if change.value is None else change.value
        row.overrides = row.overrides if change.overrides is None else change.overrides
        row.version, row.updated_at = row.version + 1, now
    if switch is not None and change.enabled is not None:
        turn(switch, change.enabled, now)


def turn(switch: RuleSwitchRow, enabled: bool, now: datetime) -> None:
    """Switch a rule on or off."""
    switch.enabled, switch.version, switch.updated_at = enabled, switch.version + 1, now


def reset(rows: Stored, now: datetime) -> None:
    """Back to the defaults of the file. The rule's switch stays."""
    if rows.threshold is not None:
        row = rows.threshold
        row.value, row.overrides, row.version, row.updated_at = None, None, row.version + 1, now
