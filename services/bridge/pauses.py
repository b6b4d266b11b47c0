"""Rules that are paused: their matches wait. By a person, or by too many dead letters; resumed by a person, or by a
change of the rule. The truth is in Postgres; each instance remembers it between two looks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from datalab.bus.publisher import Publisher
from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions
from datalab.store.tables.bridge import RulePauseRow, TriggerRow
from schemas.envelope import event_id, new_event
from schemas.services import ServiceDegraded, ServiceRecovered
from services.bridge import metrics
from services.bridge.durations import written
from services.bridge.rules import Rule, RuleBook

log = get_logger(__name__)


class Pause(NamedTuple):
    """Why a rule is paused, since when, and in which version of it."""

    reason: str
    since: datetime
    version: str


class Pauses:
    """Which rules are paused. Methods raise what SQLAlchemy raises while Postgres is away."""

    def __init__(self, sessions: Sessions, publisher: Publisher) -> None:
        self._sessions, self._publisher = sessions, publisher
        self._paused: dict[str, Pause] = {}
        self._changes = 0

    def of(self, rule: str) -> Pause | None:
        """The pause of this rule, if it is paused."""
        return self._paused.get(rule)

    @property
    def rules(self) -> Iterable[str]:
        """The names of all paused rules."""
        return self._paused.keys()

    async def refresh(self, book: RuleBook) -> None:
        """Look at what is paused now; a rule that has changed since is resumed."""
        changes, paused = self._changes, await self._read()
        while changes != self._changes:
            # What was paused or resumed meanwhile is not in it; a pause that is forgotten lets runs start.
            changes, paused = self._changes, await self._read()
        self._paused = paused
        for name, pause in list(paused.items()):
            rule = book.by_name.get(name)
            if rule is not None and rule.version != pause.version:
                await self.resume(name, "the rule was changed")
        for rule in book.rules:
            metrics.PAUSED.labels(rule.name).set(rule.name in self._paused)

    async def _read(self) -> dict[str, Pause]:
        query = select(RulePauseRow).where(RulePauseRow.resumed_at.is_(None))
        async with self._sessions() as session:
            rows = (await session.scalars(query)).all()
        return {row.rule: Pause(row.reason, row.paused_at, row.rule_version) for row in rows}

    async def pause(self, rule: Rule, reason: str) -> bool:
        """Pause the rule; False if it was paused already."""
        row = {"rule": rule.name, "reason": reason[:2000], "rule_version": rule.version}
        statement = insert(RulePauseRow).values(row)
        again = statement.on_conflict_do_update(
            index_elements=["rule"],
            set_={**row, "paused_at": func.now(), "resumed_at": None},
            where=RulePauseRow.resumed_at.is_not(None),
        )
        async with self._sessions.begin() as session:
            at = await session.scalar(again.returning(RulePauseRow.paused_at))
        if at is None:
            return False
        self._changes += 1
        self._paused[rule.name] = Pause(row["reason"], at, rule.version)
        log.warning("rule.paused", rule=rule.name, reason=reason)
        await self._tell(ServiceDegraded, rule.name, reason, at)
        return True

    async def resume(self, rule: str, reason: str) -> bool:
        """Let the rule start runs again; False if it was not paused."""
        statement = (
            update(RulePauseRow)
            .where(RulePauseRow.rule == rule, RulePauseRow.resumed_at.is_(None))
            .values(resumed_at=func.now())
            .returning(RulePauseRow.paused_at)
        )
        async with self._sessions.begin() as session:
            at = await session.scalar(statement)
        self._changes += 1
        self._paused.pop(rule, None)
        if at is None:
            return False
        log.info("rule.resumed", rule=rule, reason=reason)
        await self._tell(ServiceRecovered, rule, reason, at)
        return True

    async def count_dead(self, rule: Rule) -> None:
        """After a dead letter: pause the rule if that was one too many."""
        cap = rule.spec.on_failure.pause_after
        resumed = select(RulePauseRow.resumed_at).where(RulePauseRow.rule == rule.name).scalar_subquery()
        since = func.greatest(func.now() - cap.within, resumed)
        query = select(func.count()).where(
            TriggerRow.rule == rule.name, TriggerRow.status == "dead", TriggerRow.updated_at > since
        )
        async with self._sessions() as session:
            dead = await session.scalar(query) or 0
        if cap.exceeded(dead):
            said = f"{dead} dead letters within {written(cap.within)}; mend the rule or its flow, then resume it"
            await self.pause(rule, said)

    async def _tell(
        self, kind: type[ServiceDegraded | ServiceRecovered], rule: str, reason: str, since: datetime
    ) -> None:
        data = kind(service="bridge", check=f"rule {rule}", reason=reason, since=since)
        id_ = event_id("rule-pause", kind.type, rule, since.isoformat())
        await self._publisher.publish(new_event(data, source="/bridge", id=id_))
