"""From a matching event to its one run: ledger row → run in Prefect → row settled. Then the offset may move.

Every step can be repeated by anyone at any time: the row's id and the run's key follow from rule and event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from datalab.bus.publisher import RecordRef
from datalab.bus.retry import PermanentError
from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.tables.bridge import TriggerRow
from schemas.envelope import Event
from services.bridge import metrics
from services.bridge.creating import Creating, Runs, tell_created, wanted_run
from services.bridge.decisions import Decision, decide_all, trigger_id
from services.bridge.deployments import DeploymentMissingError
from services.bridge.intake import Intake, Match
from services.bridge.prefect_http import PrefectRefusedError
from services.bridge.prefect_runs import ParametersRefusedError
from services.bridge.rules import Rule, RuleBook

log = get_logger(__name__)


class Rules(Protocol):
    """Where the rules are; see services.bridge.rules_in_force."""

    @property
    def book(self) -> RuleBook:
        """The rules in force now."""


class Triggers(Protocol):
    """Where triggers are kept; see services.bridge.ledger."""

    async def open(self, decision: Decision, event: Event, ref: RecordRef) -> tuple[TriggerRow, bool]: ...
    async def open_many(
        self, matches: Sequence[tuple[Decision, Event, RecordRef]]
    ) -> tuple[list[TriggerRow], list[TriggerRow]]: ...
    async def created_many(self, runs: Mapping[str, str]) -> set[str]: ...
    async def created(self, id_: str, flow_run_id: str) -> bool: ...
    async def dead(self, id_: str, reason: str) -> bool: ...


class TriggerHandler:
    """Handles events. Raises PermanentError with the reasons once every rule had its turn; what Prefect or the
    database raise while away goes through, so that the event is tried again. What is not for the turn of
    its event goes to the intake. `lanes` is how many requests for runs may be under way for one batch."""

    def __init__(
        self,
        rules: Rules,
        ledger: Triggers,
        intake: Intake,
        runs: Runs,
        clock: Clock,
        *,
        patience_s: float,
        lanes: int = 1,
    ) -> None:
        self._rules, self._ledger, self._intake, self._runs, self._clock = rules, ledger, intake, runs, clock
        self._patience_s, self._creating = patience_s, Creating(ledger, runs, clock, lanes=lanes)
        self._missing_since: dict[str, float] = {}

    async def prepare(self, batch: Sequence[tuple[Event, RecordRef]]) -> set[RecordRef]:
        """Create the runs of several events in few requests; returns the events that are settled: no rule wants them,
        or each has its runs. What cannot be done so is left to `handle`, which meets the same rows and keys."""
        waiting: dict[RecordRef, set[str]] = {}
        matches: list[Match] = []
        queued: list[Match] = []
        for event, ref in batch:
            concerned = [decision for decision in decide_all(self._rules.book, event) if decision.concerns]
            waiting[ref] = {trigger_id(decision.rule.name, event.id) for decision in concerned}
            for decision in concerned:
                if self._intake.wants(decision):
                    queued.append((decision, event, ref))
                elif decision.outcome == "matched":
                    matches.append((decision, event, ref))
        settled = await self._intake.add(queued)
        if len(matches) > 1:
            settled |= await self._creating.create(matches)
        return {ref for ref, triggers in waiting.items() if triggers <= settled}

    async def handle(self, event: Event, ref: RecordRef) -> None:
        """Start the run of each rule that the event matches."""
        reasons, failed = [], []
        for decision in decide_all(self._rules.book, event):
            if not decision.concerns:
                continue
            try:
                await self._fire(decision, event, ref)
            except PermanentError as error:
                reasons.append(f"rule {decision.rule.name}: {error}")
                failed.append(error)
        if failed:
            subjects = tuple(rule for error in failed for rule in error.subjects)
            raise PermanentError("; ".join(reasons), subjects=subjects, cause=failed[0].cause)

    async def _fire(self, decision: Decision, event: Event, ref: RecordRef) -> None:
        rule = decision.rule.name
        if self._intake.wants(decision):
            await self._intake.add([(decision, event, ref)])
            return
        row, new = await self._ledger.open(decision, event, ref)
        if new:
            metrics.MATCHED.labels(rule).inc()
        if row.status in ("waiting", "suppressed"):  # from when the rule had a limit, or was paused
            return
        if row.status == "created":
            metrics.DUPLICATE.labels(rule).inc()
            log.info("trigger.duplicate", rule=rule, event_id=event.id, run_id=row.flow_run_id)
            return
        if decision.outcome == "failed":
            raise await self._dead(decision.rule, row, decision.reason, decision.error_class)
        run_id = await self._create(decision.rule, row)
        if await self._ledger.created(row.id, run_id):
            tell_created(row, run_id, event.time, self._clock)

    async def _create(self, rule: Rule, row: TriggerRow) -> str:
        try:
            run_id = await self._runs.create(row.deployment, wanted_run(row))
        except (PrefectRefusedError, ParametersRefusedError) as error:
            raise await self._dead(rule, row, str(error), type(error).__name__) from error
        except DeploymentMissingError as error:
            since = self._missing_since.setdefault(error.name, self._clock.monotonic())
            if self._clock.monotonic() - since < self._patience_s:
                raise
            waited = f"{error} (waited {self._patience_s:g} s)"
            raise await self._dead(rule, row, waited, type(error).__name__) from error
        self._missing_since.pop(row.deployment, None)
        return run_id

    async def _dead(self, rule: Rule, row: TriggerRow, reason: str, cause: str) -> PermanentError:
        if await self._ledger.dead(row.id, reason):
            metrics.DEAD.labels(row.rule).inc()
            await self._intake.count_dead(rule)
        return PermanentError(reason, subjects=(row.rule,), cause=cause)
