"""Runs for many events at once: side by side for different keys, in order for each, on any of several servers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from datalab.bus.publisher import RecordRef
from datalab.store.tables.bridge import TriggerRow
from schemas.envelope import Event, new_event
from schemas.files import FileArrived
from services.bridge.creating import Creating
from services.bridge.decisions import Decision, trigger_id
from services.bridge.intake import Match
from services.bridge.lanes import into_lanes, order_key
from services.bridge.prefect_http import PrefectAwayError, PrefectHttp, PrefectRefusedError
from services.bridge.prefect_runs import MOST_AT_ONCE, Wanted
from services.bridge.prefect_servers import PrefectServers
from services.bridge.rules import Rule, RuleSpec
from tests.support.clocks import StandingClock
from tests.support.polling import eventually

RULE = Rule.of(RuleSpec.model_validate({"name": "r", "on": [FileArrived.type], "run": {"deployment": "f/d"}}), "test")


class Ledger:
    async def open_many(self, matches: Sequence[Match]) -> tuple[list[TriggerRow], list[TriggerRow]]:
        rows = [
            TriggerRow(
                id=trigger_id("r", event.id), rule="r", event_id=event.id, deployment="f/d", idempotency_key=event.id,
                parameters=decision.parameters, tags=[], options={}, status="pending",
            )
            for decision, event, _ in matches
        ]  # fmt: skip
        return rows, rows

    async def created_many(self, runs: Mapping[str, str]) -> set[str]:
        return set(runs)


class Runs:
    """Creates nothing before `together` requests are under way. What is `bad` it does not create; `away` of a key is
    an outage."""

    def __init__(self, together: int = 1) -> None:
        self.requests: list[list[str]] = []
        self._together, self._there = together, asyncio.Event()

    async def create(self, deployment: str, wanted: Wanted) -> str:
        raise AssertionError("nothing here is created one by one")

    async def create_many(self, deployment: str, runs: Sequence[Wanted]) -> list[str | None]:
        self.requests.append([run.key for run in runs])
        if len(self.requests) >= self._together:
            self._there.set()
        await asyncio.wait_for(self._there.wait(), 5)
        if any("away" in run.parameters for run in runs):
            raise PrefectAwayError("away")
        return [None if "bad" in run.parameters else f"run-{run.key}" for run in runs]


def file(number: int, dataset: str) -> Event:
    data = FileArrived(
        uri="file:///a", path="/a", name="a", dataset=dataset, format="csv", size_bytes=1, sha256="0" * 64,
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    return new_event(data, source="/test", id=f"e{number}")


def match(event: Event, key: str = "", **parameters: Any) -> Match:
    return Decision(RULE, "matched", parameters=parameters, key=key), event, RecordRef("lab.files", 0, 0)


async def created(runs: Runs, events: Sequence[Event], lanes: int, **marked: Mapping[str, Any]) -> set[str]:
    """The ids of the events whose run was created; `marked` are parameters of runs, by event."""
    creating = Creating(Ledger(), runs, StandingClock(), lanes=lanes)
    settled = await creating.create([match(event, **marked.get(event.id, {})) for event in events])
    return {event.id for event in events if trigger_id("r", event.id) in settled}


def test_a_key_has_one_lane_and_its_order() -> None:
    matches = [match(file(number, f"k{number % 5}")) for number in range(100)]
    lanes = into_lanes(matches, 3)
    assert sorted(len(lane) for lane in lanes) == [20, 40, 40]
    assert sorted(id(one) for lane in lanes for one in lane) == sorted(map(id, matches))
    for key in {order_key(one) for one in matches}:
        (own,) = ([one for one in lane if order_key(one) == key] for lane in lanes if key in map(order_key, lane))
        assert own == [one for one in matches if order_key(one) == key]
    assert into_lanes([], 3) == []


def test_a_match_keeps_its_order_with_those_of_its_rules_key_else_of_its_records() -> None:
    assert order_key(match(file(1, "vendas"))) == file(2, "vendas").subject == "vendas"
    assert order_key(match(file(1, "vendas"), key="csv")) == "csv"
    strange = file(1, "vendas").model_copy(update={"data": {}})
    unknown = strange.model_copy(update={"type": "lab.no.such.v1"})
    assert order_key(match(strange)) == order_key(match(unknown)) == ""


async def test_different_keys_are_asked_for_side_by_side() -> None:
    events = [file(number, f"d{number % 2}") for number in range(10)]
    runs = Runs(together=2)
    assert await created(runs, events, lanes=2) == {event.id for event in events}
    assert runs.requests == [[f"e{n}" for n in range(0, 10, 2)], [f"e{n}" for n in range(1, 10, 2)]]


async def test_behind_a_run_that_is_not_created_its_key_waits_for_its_turn() -> None:
    events = [file(number, "a" if number % 2 else "b") for number in range(2 * MOST_AT_ONCE)]
    runs = Runs()
    settled = await created(runs, events, lanes=1, e1={"bad": True})
    # Both keys are in one lane: `b` first, as it comes first; `a` fails in the second request, which holds all of it.
    assert settled == {event.id for event in events} - {"e1"}
    more = [*events, *(file(1000 + number, "a") for number in range(5))]
    assert "e1000" not in await created(Runs(), more, lanes=1, e1={"bad": True})


async def test_an_outage_of_one_request_leaves_the_others_their_runs() -> None:
    events = [file(number, f"d{number % 2}") for number in range(4)]
    assert await created(Runs(), events, lanes=2, e0={"away": True}) == {"e1", "e3"}
    with pytest.raises(PrefectAwayError):
        await created(Runs(), events, lanes=2, e0={"away": True}, e1={"away": True})


class Answering:
    """A Prefect server that notes who asks, and answers once it may."""

    def __init__(self, status: int = 201) -> None:
        self.status, self.asked, self.may_answer = status, 0, asyncio.Event()
        self.may_answer.set()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        await self.may_answer.wait()
        return httpx.Response(self.status, json={"id": "run"})

    async def was_asked(self) -> int:
        return self.asked

    def http(self) -> PrefectHttp:
        return PrefectHttp(httpx.AsyncClient(transport=httpx.MockTransport(self)), "http://prefect/api")


async def test_the_server_with_the_fewest_requests_is_asked() -> None:
    first, other = Answering(), Answering()
    servers = PrefectServers(first.http(), [other.http()], StandingClock())
    other.may_answer.clear()
    waiting = asyncio.create_task(servers.post("/x", {}))
    await eventually(other.was_asked)
    assert (await servers.post("/x", {}), first.asked, len(servers)) == ({"id": "run"}, 1, 2)
    other.may_answer.set()
    await waiting
    await servers.post("/x", {})
    assert (first.asked, other.asked) == (1, 2)


@pytest.mark.parametrize("status", [503, 404])
async def test_one_that_does_not_answer_or_is_of_another_prefect_is_left_alone_for_a_while(status: int) -> None:
    first, other, clock = Answering(), Answering(status), StandingClock()
    servers = PrefectServers(first.http(), [other.http()], clock)
    for _ in range(3):
        assert await servers.post("/x", {}) == {"id": "run"}
    assert (first.asked, other.asked) == (3, 1)
    clock.seconds += 11
    other.status = 201
    await servers.post("/x", {})
    assert (first.asked, other.asked) == (3, 2)


async def test_an_outage_of_the_first_and_a_refusal_of_any_go_through() -> None:
    with pytest.raises(PrefectAwayError):
        await PrefectServers(Answering(503).http(), [], StandingClock()).post("/x", {})
    refusing = Answering(422)
    with pytest.raises(PrefectRefusedError):
        await PrefectServers(Answering(404).http(), [], StandingClock()).post("/x", {})
    with pytest.raises(PrefectRefusedError):
        await PrefectServers(Answering().http(), [refusing.http()], StandingClock()).post("/x", {})
