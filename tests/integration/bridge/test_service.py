"""The bridge from outside: REST, readiness, and what it does with rules that are wrong."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import httpx

from datalab.bus.publisher import Publisher
from datalab.runtime.settings import PROJECT_ROOT
from datalab.store.engine import create_engine, create_sessions
from datalab.store.tokens import Tokens
from schemas.codec import to_structured
from services.bridge.app import Bridge
from tests.integration.bridge.conftest import Bridges, PrefectLab, file_arrived, file_rule
from tests.support.polling import eventually


def rest(bridge: Bridge) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(bridge.app), base_url="http://bridge")


async def test_rest_shows_rules_triggers_and_the_trace_of_an_event(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, prefect_api_url: str
) -> None:
    await prefect.deploy(f"{dataset}/load")
    events = [file_arrived(dataset, f"{n}.csv") for n in range(3)]
    async with bridges.running(file_rule(dataset, "mine")) as bridge, rest(bridge) as client:
        for event in events:
            await publisher.publish(event)
        await eventually(lambda: prefect.runs_of(events[-1]))
        (run,) = await eventually(lambda: prefect.runs_of(events[0]))
        await prefect.set_state(run["id"], "CANCELLED")

        async def trace() -> dict[str, Any]:
            return dict((await client.get(f"/v1/events/{events[0].id}/trace")).json()["triggers"][0])

        trigger = await eventually(trace, until=lambda t: t["run_state"] == "CANCELLED" and len(t["states"]) == 2)
        assert trigger["run_url"] == f"{prefect_api_url.removesuffix('/api')}/runs/flow-run/{trigger['flow_run_id']}"
        assert [state["event_type"] for state in trigger["states"]] == [
            "lab.run.scheduled.v1",
            "lab.run.cancelled.v1",
        ]
        assert (await client.get(f"/v1/triggers/{trigger['id']}")).json()["event_id"] == events[0].id

        seen, token = [], None
        while True:
            params = {"rule": "mine", "page_size": 2} | ({"page_token": token} if token else {})
            page = (await client.get("/v1/triggers", params=params)).json()
            seen += [entry["event_id"] for entry in page["triggers"]]
            if not (token := page["next_page_token"]):
                break
        assert seen == [event.id for event in reversed(events)]
        assert [rule["name"] for rule in (await client.get("/v1/rules")).json()["rules"]] == ["mine"]
        await eventually(lambda: client.get("/readyz?verbose"), until=lambda answer: answer.status_code == 200)
        assert 'bridge_runs_created_total{rule="mine"}' in (await client.get("/metrics")).text


async def test_changes_need_a_token_and_questions_do_not(bridges: Bridges, dataset: str, database_url: str) -> None:
    engine = create_engine(database_url)
    tokens = Tokens(create_sessions(engine))
    may = (await tokens.create(f"{dataset}-may", ["bridge:write"], None))[1]
    other = (await tokens.create(f"{dataset}-other", ["monitor:write"], None))[1]
    await engine.dispose()
    changes = [("/v1/rules/files:pause", {}), ("/v1/rules/files:resume", {}), ("/v1/dead-letters:replay", {})]
    async with bridges.running(file_rule(dataset), bridge_require_tokens=True) as bridge, rest(bridge) as client:
        for path, body in changes:
            without = await client.post(path, json=body)
            wrong = await client.post(path, json=body, headers={"Authorization": f"Bearer {other}"})
            right = await client.post(path, json=body, headers={"Authorization": f"Bearer {may}"})
            assert (without.status_code, wrong.status_code) == (401, 403), path
            # To replay nothing in particular is refused, but by another word.
            assert right.status_code == (422 if "replay" in path else 200), right.text
        event = to_structured(file_arrived(dataset))
        assert (await client.post("/v1/rules:test", json=event)).status_code == 200
        assert (await client.get("/v1/rules")).status_code == 200


async def test_rest_refuses_what_it_does_not_know_in_plain_words(bridges: Bridges, dataset: str) -> None:
    async with bridges.running(file_rule(dataset)) as bridge, rest(bridge) as client:
        paths = ("/v1/triggers/x", "/v1/triggers?page_token=!", "/v1/triggers?status=x")
        answers = {path: await client.get(path) for path in paths}
        assert [answer.status_code for answer in answers.values()] == [404, 422, 422]
        assert all("problem+json" in answer.headers["content-type"] for answer in answers.values())
        assert (await client.post("/v1/rules:test", json={"type": "x"})).status_code == 422
        assert (await client.get("/v1/events/nosuch/trace")).json()["triggers"] == []


async def test_an_event_can_be_tried_on_the_rules_and_starts_nothing(
    bridges: Bridges, prefect: PrefectLab, dataset: str
) -> None:
    await prefect.deploy(f"{dataset}/load")
    event = file_arrived(dataset)
    other = file_rule(dataset, "other") | {"where": "event.data.dataset == 'other'"}
    async with bridges.running(file_rule(dataset), other) as bridge, rest(bridge) as client:
        answer = (await client.post("/v1/rules:test", json=to_structured(event))).json()
        matched, unmatched = answer["decisions"]
        assert (matched["outcome"], matched["parameters"]) == ("matched", {"source_path": event.data["uri"]})
        assert (unmatched["outcome"], unmatched["reason"]) == ("condition", "event.data.dataset == 'other' is false")
        assert (await client.get("/v1/triggers", params={"event_id": event.id})).json()["triggers"] == []
    assert await prefect.runs_of(event) == []


async def test_readiness_names_a_deployment_that_prefect_does_not_know(
    bridges: Bridges, prefect: PrefectLab, dataset: str
) -> None:
    async with bridges.running(file_rule(dataset)) as bridge, rest(bridge) as client:
        reason = f"not registered in Prefect: {dataset}/load (rule files)"
        # On a busy machine a check may have no answer in time, and the next one has.
        answer = await eventually(lambda: client.get("/readyz"), until=lambda answer: reason in answer.text)
        assert answer.status_code == 503
        assert answer.json()["checks"]["deployments"][0]["output"] == reason
        await prefect.deploy(f"{dataset}/load")
        await eventually(lambda: client.get("/readyz"), until=lambda a: a.status_code == 200)


async def test_the_service_refuses_to_start_with_wrong_rules(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "mine.yaml").write_text("name: mine\nwhere: 1 +\n", "utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.bridge", cwd=PROJECT_ROOT, stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL, env={**os.environ, "DATALAB_CONFIG_DIR": str(tmp_path)},
    )  # fmt: skip
    _, said = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 1
    assert f"bridge: {tmp_path}/rules/mine.yaml:1: on: is missing; add it" in said.decode()
    assert "mine.yaml:2: where: " in said.decode()
    assert "Traceback" not in said.decode()
