"""Limits in Postgres: what people set, over the defaults of `config/alerts.yaml`. Read with each batch, so that a
change holds for the next events on every instance. `limit_changes` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor_limits import RuleSwitchRow, ThresholdRow
from services.monitor.deployments import newest_runs
from services.monitor.limits import Limit, RuleLimits, Threshold
from services.monitor.rules import AlertRules


class Stored(NamedTuple):
    """What is stored of one threshold and of its rule's switch; a row of version 0 is one that nobody has touched."""

    threshold: ThresholdRow | None = None
    switch: RuleSwitchRow | None = None

    @property
    def etag(self) -> str:
        """Another one after every change."""
        return f'"{self.threshold.version if self.threshold else 0}.{self.switch.version if self.switch else 0}"'

    @property
    def enabled(self) -> bool:
        """Whether the rule raises alerts."""
        return self.switch is None or self.switch.enabled

    @property
    def updated_at(self) -> datetime | None:
        """When the threshold or the switch was last changed, None if never."""
        return max((row.updated_at for row in self if row is not None and row.version), default=None)

    def limit(self, threshold: Threshold) -> Limit:
        """The value and overrides that hold."""
        row = self.threshold
        value = threshold.default if row is None or row.value is None else row.value
        overrides = threshold.overrides if row is None or row.overrides is None else row.overrides
        return Limit(value, overrides)


async def switches(session: AsyncSession) -> dict[str, RuleSwitchRow]:
    """The switches that somebody has touched, by rule."""
    return {row.rule: row for row in (await session.execute(select(RuleSwitchRow))).scalars()}


async def stored(session: AsyncSession, rules: AlertRules) -> list[tuple[Threshold, Stored]]:
    """What is stored, for every threshold of the file, in its order."""
    return await _stored(session, rules, await switches(session))


async def limits_of(session: AsyncSession, rules: AlertRules) -> dict[str, RuleLimits]:
    """What holds for each rule now."""
    touched = await switches(session)
    found: dict[str, dict[str, Limit]] = {rule.name: {} for rule in rules.rules}
    for threshold, row in await _stored(session, rules, touched):
        found[threshold.rule][threshold.name] = row.limit(threshold)
    return {
        rule: RuleLimits(enabled=rule not in touched or touched[rule].enabled, limits=limits)
        for rule, limits in found.items()
    }


async def _stored(
    session: AsyncSession, rules: AlertRules, touched: Mapping[str, RuleSwitchRow]
) -> list[tuple[Threshold, Stored]]:
    rows = {(row.rule, row.name): row for row in (await session.execute(select(ThresholdRow))).scalars()}
    return [(t, Stored(rows.get((t.rule, t.name)), touched.get(t.rule))) for t in rules.thresholds]


async def known_names(session: AsyncSession, rules: AlertRules) -> tuple[list[str], list[str]]:
    """The deployments and the flows that the lab knows: those with runs, and those that the file names."""
    rows = await newest_runs(session)
    named = {name for threshold in rules.thresholds for name in threshold.overrides}
    deployments = {name for name in named if "/" in name} | {row.deployment for row in rows if row.deployment}
    return sorted(deployments), sorted((named - deployments) | {row.flow for row in rows})
