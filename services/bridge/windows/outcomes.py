"""What came of windows, as triggers: runs that wait for their turn, and events that have none, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.bus.publisher import RecordRef
from datalab.store.tables.bridge import TriggerEventRow
from schemas.envelope import Event, event_id
from services.bridge import metrics
from services.bridge.decisions import Decision, run_key, trigger_id
from services.bridge.ledger import trigger_values
from services.bridge.rules import Rule
from services.bridge.waiting import Kept, insert_triggers
from services.bridge.windows.state import Fired, Step


@dataclass
class Outcomes:
    """What several steps led to, in order."""

    fired: list[Fired] = field(default_factory=list)
    suppressed: list[tuple[str, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.fired or self.suppressed)

    def add(self, step: Step) -> None:
        """Take what this step led to as well."""
        self.fired += step.fired
        self.suppressed += step.suppressed


def window_trigger_id(rule: str, key: str, fired: Fired) -> str:
    """The deterministic id of the trigger: that of its event, or one that follows from rule, key and window."""
    return trigger_id(rule, fired.events[-1]) if fired.alone else event_id("trigger-window", rule, key, fired.name)


async def store_outcomes(session: AsyncSession, rule: Rule, key: str, outcomes: Outcomes) -> None:
    """Store the triggers and note with each event which one has it. What is there already stays."""
    ids = [id_ for fired in outcomes.fired for id_ in fired.events] + [id_ for id_, _ in outcomes.suppressed]
    kept = await _kept(session, rule.name, ids)
    rows: list[dict[str, Any]] = []
    members: dict[str, list[str]] = {}
    for fired in outcomes.fired:
        row = _fired(rule, key, fired, kept[fired.events[-1]])
        rows.append(row)
        members[row["id"]] = list(fired.events)
    for id_, reason in outcomes.suppressed:
        row = _values(rule, key, kept[id_]) | {"status": "suppressed", "reason": reason[:2000]}
        rows.append(row)
        members[row["id"]] = [id_]
    if not rows:
        return
    new = await insert_triggers(session, rows)
    for id_, events in members.items():
        mine = (TriggerEventRow.rule == rule.name) & TriggerEventRow.event_id.in_(events)
        await session.execute(update(TriggerEventRow).where(mine).values(trigger_id=id_))
    for row in rows:
        if row["id"] in new:
            counter = metrics.MATCHED if row["status"] == "waiting" else metrics.SUPPRESSED
            counter.labels(rule.name).inc()


def _fired(rule: Rule, key: str, fired: Fired, last: Kept) -> dict[str, Any]:
    id_ = window_trigger_id(rule.name, key, fired)
    row = _values(rule, key, last) | {
        "id": id_,
        "status": "waiting",
        "window": {"start": fired.start.isoformat(), "end": fired.end.isoformat()},
    }
    if not fired.alone:
        row["idempotency_key"] = run_key(rule.name, rule.spec.run.deployment, id_)
    return row


def _values(rule: Rule, key: str, kept: Kept) -> dict[str, Any]:
    # What is not rendered has no version, and so is rendered in its turn.
    row = trigger_values(Decision(rule, "failed", key=key), kept.event, kept.ref)
    return row | {"window": None, "reason": None}


async def _kept(session: AsyncSession, rule: str, ids: list[str]) -> Mapping[str, Kept]:
    query = select(TriggerEventRow).where(TriggerEventRow.rule == rule, TriggerEventRow.event_id.in_(ids))
    return {
        row.event_id: Kept(Event.model_validate(row.event), RecordRef(row.topic, row.partition, row.offset))
        for row in (await session.scalars(query) if ids else ())
    }
