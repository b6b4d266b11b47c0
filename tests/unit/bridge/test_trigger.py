"""The handler's order of steps and what it makes of refusals, on fakes; the real parts are in the integration tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from datalab.bus.publisher import RecordRef
from datalab.bus.retry import PermanentError
from datalab.store.tables.bridge import TriggerRow
from schemas.envelope import Event
from services.bridge.app import is_transient
from services.bridge.decisions import Decision, idempotency_key, trigger_id
from services.bridge.deployments import DeploymentMissingError
from services.bridge.intake import PAUSED, Intake
from services.bridge.prefect_http import PrefectAwayError, PrefectRefusedError
from services.bridge.prefect_runs import MOST_AT_ONCE, Wanted
from services.bridge.rules import Rule, RuleBook, RuleSpec
from services.bridge.trigger import TriggerHandler
from tests.support.clocks import StandingClock

REF = RecordRef("lab.files", 0, 7)
EVENT = Event(id="e1", source="/test", type="lab.file.arrived.v1", time=datetime(2026, 1, 1, tzinfo=UTC), data={"n": 1})


class Ledger:
    def __init__(self) -> None:
        self.rows: dict[str, TriggerRow] = {}

    async def open(self, decision: Decision, event: Event, ref: RecordRef) -> tuple[TriggerRow, bool]:
        id_, deployment = trigger_id(decision.rule.name, event.id), decision.rule.spec.run.deployment
        new = id_ not in self.rows
        if new:
            key = idempotency_key(decision.rule.name, deployment, event)
            self.rows[id_] = TriggerRow(
                id=id_, rule=decision.rule.name, event_id=event.id, deployment=deployment, idempotency_key=key,
                parameters=decision.parameters, tags=decision.tags, status="pending",
            )  # fmt: skip
        return self.rows[id_], new

    async def open_many(
        self, matches: Sequence[tuple[Decision, Event, RecordRef]]
    ) -> tuple[list[TriggerRow], list[TriggerRow]]:
        opened = [await self.open(*match) for match in matches]
        waiting = {row.id: row for row, _ in opened if row.status == "pending"}
        return list(waiting.values()), [row for row, new in opened if new]

    async def created_many(self, runs: Mapping[str, str]) -> set[str]:
        return {id_ for id_, run in runs.items() if await self.created(id_, run)}

    async def created(self, id_: str, flow_run_id: str) -> bool:
        self.rows[id_].status, self.rows[id_].flow_run_id = "created", flow_run_id
        return True

    async def dead(self, id_: str, reason: str) -> bool:
        self.rows[id_].status, self.rows[id_].reason = "dead", reason
        return True


class Runs:
    def __init__(self, refuse: dict[str, Exception] | None = None) -> None:
        self.refuse, self.calls, self.bulks = refuse or {}, list[str](), list[list[str]]()

    async def create(self, deployment: str, wanted: Wanted) -> str:
        self.calls.append(wanted.key)
        if deployment in self.refuse:
            raise self.refuse[deployment]
        return "run-" + deployment

    async def create_many(self, deployment: str, runs: Sequence[Wanted]) -> list[str | None]:
        self.bulks.append([run.key for run in runs])
        if deployment in self.refuse:
            raise self.refuse[deployment]
        return [None if run.parameters.get("bad") else f"run-{run.key}" for run in runs]


def rule(name: str, deployment: str = "f/d", where: str = "true", **run: Any) -> Rule:
    spec = {"name": name, "on": [EVENT.type], "where": where, "run": {"deployment": deployment, **run}}
    return Rule.of(RuleSpec.model_validate(spec), "test")


def limited(name: str, **run: Any) -> Rule:
    spec = {"name": name, "on": [EVENT.type], "limits": {"active": 1}, "run": {"deployment": "f/d", **run}}
    return Rule.of(RuleSpec.model_validate(spec), "test")


@dataclass(frozen=True)
class InForce:
    book: RuleBook


class Queue:
    def __init__(self) -> None:
        self.added: list[tuple[str, str, str | None]] = []

    async def add(self, matches: Sequence[tuple[Decision, Event, RecordRef]], reason: str | None = None) -> list[str]:
        self.added += [(decision.rule.name, event.id, reason) for decision, event, _ in matches]
        return [decision.rule.name for decision, _, _ in matches]


class IntoWindows:
    async def take(self, matches: Sequence[tuple[Decision, Event, RecordRef]]) -> None:
        raise AssertionError(f"no rule here has windows: {matches}")


class Paused:
    def __init__(self, *rules: str) -> None:
        self.rules, self.counted = rules, list[str]()

    def of(self, rule: str) -> str | None:
        return "because" if rule in self.rules else None

    async def count_dead(self, rule: Rule) -> None:
        self.counted.append(rule.name)


def handler(
    *rules: Rule,
    runs: Runs,
    ledger: Ledger,
    clock: StandingClock | None = None,
    queue: Queue | None = None,
    paused: Paused | None = None,
) -> TriggerHandler:
    return TriggerHandler(
        InForce(RuleBook(rules)),
        ledger,
        Intake(queue or Queue(), IntoWindows(), paused or Paused(), lambda: None),
        runs,
        clock or StandingClock(),
        patience_s=60,
    )


async def test_a_repeat_of_a_settled_event_does_not_ask_prefect_again() -> None:
    runs, ledger = Runs(), Ledger()
    handle = handler(rule("a"), runs=runs, ledger=ledger).handle
    await handle(EVENT, REF)
    await handle(EVENT, REF)
    assert len(runs.calls) == 1
    assert [(row.status, row.flow_run_id) for row in ledger.rows.values()] == [("created", "run-f/d")]


async def test_an_outage_leaves_the_trigger_pending_and_goes_through() -> None:
    ledger = Ledger()
    with pytest.raises(PrefectAwayError):
        await handler(rule("a"), runs=Runs({"f/d": PrefectAwayError("away")}), ledger=ledger).handle(EVENT, REF)
    assert [row.status for row in ledger.rows.values()] == ["pending"]


async def test_a_refused_rule_does_not_keep_the_next_rule_from_its_run() -> None:
    ledger, runs = Ledger(), Runs({"f/bad": PrefectRefusedError(409, "n is not text")})
    broken = rule("broken", parameters={"p": "{{ event.data.nosuch }}"})
    with pytest.raises(PermanentError, match=r"(?s)rule broken: .*nosuch.*; rule refused: .*409.*n is not text"):
        await handler(broken, rule("refused", "f/bad"), rule("fine"), runs=runs, ledger=ledger).handle(EVENT, REF)
    assert {row.rule: row.status for row in ledger.rows.values()} == {
        "broken": "dead", "refused": "dead", "fine": "created",
    }  # fmt: skip


async def test_an_unknown_deployment_is_waited_for_and_then_given_up() -> None:
    clock, ledger = StandingClock(), Ledger()
    runs = Runs({"f/d": DeploymentMissingError("f/d")})
    handle = handler(rule("a"), runs=runs, ledger=ledger, clock=clock).handle
    for _ in range(2):
        with pytest.raises(DeploymentMissingError) as raised:
            await handle(EVENT, REF)
        assert is_transient(raised.value)
        clock.seconds += 59
    with pytest.raises(PermanentError, match="'f/d' is not registered in Prefect"):
        await handle(EVENT, REF)


async def test_a_deployment_that_came_back_is_waited_for_anew() -> None:
    clock, ledger = StandingClock(), Ledger()
    runs = Runs({"f/d": DeploymentMissingError("f/d")})
    handle = handler(rule("a"), runs=runs, ledger=ledger, clock=clock).handle
    with pytest.raises(DeploymentMissingError):
        await handle(EVENT, REF)
    gone, runs.refuse = runs.refuse, {}
    await handle(EVENT, REF)
    runs.refuse, clock.seconds = gone, clock.seconds + 100
    with pytest.raises(DeploymentMissingError):
        await handle(EVENT.model_copy(update={"id": "e2"}), REF)


def _events(count: int, **data: Any) -> list[tuple[Event, RecordRef]]:
    made = [EVENT.model_copy(update={"id": f"e{n}", "data": {"n": n, **data}}) for n in range(count)]
    return [(event, RecordRef("lab.files", 0, n)) for n, event in enumerate(made)]


async def test_what_was_created_ahead_is_settled() -> None:
    runs, ledger, batch = Runs(), Ledger(), _events(MOST_AT_ONCE + 2)
    handled = handler(rule("a"), rule("b", "f/other"), runs=runs, ledger=ledger)
    repeat = (batch[0][0], RecordRef("lab.files", 0, 99))
    assert await handled.prepare([*batch, repeat]) == {*(ref for _, ref in batch), repeat[1]}
    assert [len(keys) for keys in runs.bulks] == [MOST_AT_ONCE, 2, MOST_AT_ONCE, 2]
    assert {row.status for row in ledger.rows.values()} == {"created"}
    assert len(ledger.rows) == 2 * len(batch)


async def test_what_could_not_be_created_ahead_is_left_to_its_turn() -> None:
    runs, ledger, batch = Runs(), Ledger(), _events(3)
    picky = rule("a", parameters={"bad": "{{ event.data.n == 1 }}"})
    handled = handler(picky, runs=runs, ledger=ledger)
    assert await handled.prepare(batch) == {batch[0][1], batch[2][1]}
    await handled.handle(*batch[1])
    assert runs.calls == [idempotency_key("a", "f/d", batch[1][0])]
    away = handler(rule("c"), runs=Runs({"f/d": PrefectAwayError("away")}), ledger=ledger)
    with pytest.raises(PrefectAwayError):
        await away.prepare(batch)
    assert ledger.rows[trigger_id("c", batch[0][0].id)].status == "pending"


async def test_an_event_that_no_rule_wants_is_settled_and_one_whose_rule_fails_is_not() -> None:
    runs, batch = Runs(), _events(4)
    failing = rule("a", parameters={"x": "{{ event.data.nosuch }}"}, where="event.data.n == 2")
    handled = handler(failing, runs=runs, ledger=Ledger())
    assert await handled.prepare(batch) == {batch[n][1] for n in (0, 1, 3)}
    assert runs.bulks == [], "a single event is not worth a bulk request"


async def test_a_limited_rule_is_settled_by_its_place_in_the_queue() -> None:
    runs, queue, batch = Runs(), Queue(), _events(2)
    handled = handler(limited("a"), runs=runs, ledger=Ledger(), queue=queue)
    assert await handled.prepare(batch) == {ref for _, ref in batch}
    await handled.handle(*_events(3)[2])
    assert queue.added == [("a", "e0", None), ("a", "e1", None), ("a", "e2", None)]
    assert (runs.calls, runs.bulks) == ([], [])


async def test_what_a_paused_rule_matches_waits_also_where_its_template_fails() -> None:
    ledger, queue, batch = Ledger(), Queue(), _events(2)
    broken = rule("broken", parameters={"p": "{{ event.data.nosuch }}"})
    handled = handler(broken, rule("fine"), runs=Runs(), ledger=ledger, queue=queue, paused=Paused("broken"))
    await handled.handle(*batch[0])
    assert queue.added == [("broken", "e0", PAUSED)]
    assert {row.rule: row.status for row in ledger.rows.values()} == {"fine": "created"}


async def test_each_dead_letter_counts_towards_the_rules_pause() -> None:
    paused = Paused()
    refused = handler(rule("a"), runs=Runs({"f/d": PrefectRefusedError(409, "no")}), ledger=Ledger(), paused=paused)
    with pytest.raises(PermanentError):
        await refused.handle(EVENT, REF)
    assert paused.counted == ["a"]
