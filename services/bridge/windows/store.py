"""Windows in Postgres: events that are new go through the decisions of their kind, and what comes of it is stored with
the state, in one transaction for each key. After that their offsets may move.

An event is in the windows of a rule once: its row in bridge_trigger_events says so, for ever.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import DateTime, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.engine import Sessions
from datalab.store.tables.bridge import TriggerEventRow, TriggerRow, WindowRow
from services.bridge.decisions import Decision, trigger_id
from services.bridge.intake import Match
from services.bridge.ledger import note_attempt
from services.bridge.rules import Rule
from services.bridge.waiting import event_values
from services.bridge.windows.absence import FOLLOWER
from services.bridge.windows.kinds import FORGETFUL, dissolve, pass_time, take
from services.bridge.windows.outcomes import Outcomes, store_outcomes
from services.bridge.windows.state import Arrival, State, Step

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 4712))")


class Windows:
    """Takes events in, and lets time pass. Safe beside other instances: they take turns at a key."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def take(self, matches: Sequence[Match]) -> None:
        """Put these events, in their order, into the windows of their rules. Those that are there already stay."""
        groups: defaultdict[tuple[str, str], list[Match]] = defaultdict(list)
        for match in matches:
            groups[match[0].rule.name, match[0].key].append(match)
        # Sorted, so that two instances with several keys each do not wait for one another in a circle.
        for (_, key), group in sorted(groups.items()):
            async with self._sessions.begin() as session:
                await _take(session, group[0][0].rule, key, group)

    async def pass_time(self, rule: Rule, key: str) -> None:
        """Close what is over, by the database's clock."""
        async with self._sessions.begin() as session:
            now = await _locked(session, rule, key)
            outcomes = Outcomes()
            state = await _known(session, rule, key, outcomes)
            step = pass_time(rule.spec.when, state, now)
            outcomes.add(step)
            await store_outcomes(session, rule, key, outcomes)
            await _remember(session, rule, key, step)


async def _take(session: AsyncSession, rule: Rule, key: str, group: Sequence[Match]) -> None:
    now = await _locked(session, rule, key)
    new = await _new(session, rule, group)
    outcomes = Outcomes()
    state = await _known(session, rule, key, outcomes)
    step, changed = Step(state), bool(outcomes)
    for decision, event, _ in group:
        if event.id in new or _only_cancels(rule, decision):
            new.discard(event.id)  # the same event may be twice in a batch
            step = take(rule.spec.when, step.state, Arrival(event.id, event.time, now, decision.conditions))
            outcomes.add(step)
            changed = True
    if changed:
        await store_outcomes(session, rule, key, outcomes)
        await _remember(session, rule, key, step)


async def _locked(session: AsyncSession, rule: Rule, key: str) -> datetime:
    """Wait for the key to be ours until the transaction ends; returns the database's time."""
    await session.execute(_LOCK, {"name": f"{rule.name}\x1f{key}"})
    return (await session.execute(select(func.clock_timestamp(type_=DateTime(timezone=True))))).scalar_one()


async def _known(session: AsyncSession, rule: Rule, key: str, outcomes: Outcomes) -> State:
    """What is remembered. If that is of other windows than the rule has now, they are dissolved."""
    row = await session.get(WindowRow, (rule.name, key))
    if row is None:
        return State()
    state = State.from_json(row.state)
    if row.kind == rule.spec.when.kind:
        return state
    step = dissolve(row.kind, state)
    outcomes.add(step)
    return step.state


async def _remember(session: AsyncSession, rule: Rule, key: str, step: Step) -> None:
    kind, state = rule.spec.when.kind, step.state
    if kind in FORGETFUL and not state.open and not state.pool:
        await session.execute(delete(WindowRow).where(WindowRow.rule == rule.name, WindowRow.key == key))
        return
    row = {"rule": rule.name, "key": key, "kind": kind, "state": state.to_json(), "due_at": step.due}
    statement = insert(WindowRow).values(row)
    changed = {**row, "updated_at": func.now()}
    await session.execute(statement.on_conflict_do_update(index_elements=["rule", "key"], set_=changed))


async def _new(session: AsyncSession, rule: Rule, group: Sequence[Match]) -> set[str]:
    """The events that no window of the rule has had, and that had no run of their own while the rule had none. A
    window whose trigger is dead starts over when one of its events comes again."""
    matches = {event.id: (event, ref) for decision, event, ref in group if not _only_cancels(rule, decision)}
    own = {trigger_id(rule.name, id_): id_ for id_ in matches}
    # Those that the rule failed on before it came to windows: their death is in the dead letters.
    failed = (TriggerRow.id.in_(own)) & (TriggerRow.status == "dead")
    kept = select(TriggerEventRow.trigger_id).where(TriggerEventRow.trigger_id.in_(own))
    await session.execute(delete(TriggerRow).where(failed, TriggerRow.id.not_in(kept)))
    had = {own[id_] for id_ in await session.scalars(select(TriggerRow.id).where(TriggerRow.id.in_(own)))}
    rows = [event_values(rule.name, None, event, ref) for id_, (event, ref) in matches.items() if id_ not in had]
    new = set[str]()
    if rows:
        statement = insert(TriggerEventRow).values(rows).on_conflict_do_nothing().returning(TriggerEventRow.event_id)
        new = set(await session.scalars(statement))
    await _revive(session, rule, matches.keys() - new)
    return new


def _only_cancels(rule: Rule, decision: Decision) -> bool:
    """What an absence waits for is no cause of a run, and may come as often as it likes."""
    return rule.spec.when.absence is not None and decision.conditions == (FOLLOWER,)


async def _revive(session: AsyncSession, rule: Rule, ids: set[str]) -> None:
    mine = select(TriggerEventRow.trigger_id).where(
        TriggerEventRow.rule == rule.name, TriggerEventRow.event_id.in_(ids)
    )
    query = select(TriggerRow).where(TriggerRow.id.in_(mine), TriggerRow.status == "dead").with_for_update()
    for row in await session.scalars(query) if ids else ():
        if row.flow_run_id is not None:
            note_attempt(row)
        row.status, row.reason, row.due_at, row.retries, row.rule_version = "waiting", None, None, 0, ""
