"""What can never have a run lies in the dead letters with its reason; what comes after it is unharmed."""

from __future__ import annotations

import httpx

from datalab.bus.publisher import Publisher
from datalab.store.engine import create_engine, create_sessions
from schemas.codec import EncodedRecord
from schemas.envelope import Event
from services.bridge.dead_letters import DeadLetter, read_dead_letters
from services.bridge.ledger import Ledger
from services.bridge.replaying import replay
from tests.integration.bridge.conftest import Bridges, PrefectLab, file_arrived, file_rule
from tests.support.polling import eventually


async def letters_of(bootstrap: str, group: str) -> list[DeadLetter]:
    return [letter for letter in await read_dead_letters(bootstrap) if letter.group == group]


async def letters_keyed(bootstrap: str, group: str, key: str) -> list[DeadLetter]:
    """A new group reads, and buries, also what other tests have left on the topic."""
    return [letter for letter in await letters_of(bootstrap, group) if letter.record.key == key.encode()]


async def own_letters(bootstrap: str, group: str, event: Event) -> list[DeadLetter]:
    return [letter for letter in await letters_of(bootstrap, group) if letter.event_id == event.id]


async def test_each_kind_of_poison_has_its_reason_and_harms_no_other_event(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, kafka_bootstrap: str, database_url: str
) -> None:
    await prefect.deploy(f"{dataset}/load")
    here = f"event.data.dataset == '{dataset}' && event.data.name == "
    rules = [
        file_rule(dataset, "good") | {"where": here + "'good.csv'"},
        file_rule(dataset, "bad-template", parameters={"source_path": "{{ event.data.nosuch }}"})
        | {"where": here + "'template.csv'"},
        file_rule(dataset, "bad-condition") | {"where": here + "'condition.csv' && event.data.name > 3"},
        file_rule(dataset, "no-deployment", deployment=f"{dataset}/unknown") | {"where": here + "'unknown.csv'"},
        file_rule(dataset, "wrong-type", parameters={"source_path": "{{ event.data.size_bytes }}"})
        | {"where": here + "'type.csv'"},
    ]
    names = ["template", "condition", "unknown", "type", "good"]
    events = {name: file_arrived(dataset, f"{name}.csv") for name in names}
    async with bridges.running(*rules, bridge_deployment_patience_s=1.0):
        await publisher.publish_record("lab.files", EncodedRecord(dataset.encode(), b"\xff not json", []))
        for event in events.values():
            await publisher.publish(event)
        await eventually(lambda: prefect.runs_of(events["good"]))
        found = await eventually(
            lambda: letters_keyed(kafka_bootstrap, bridges.group, dataset), until=lambda letters: len(letters) >= 5
        )
    reasons = {letter.event_id: letter.reason for letter in found}
    assert reasons.keys() == {None, *(events[name].id for name in names[:-1])}
    assert "neither ce_ headers nor a JSON object" in reasons[None]
    assert "rule bad-template" in reasons[events["template"].id]
    assert "nosuch" in reasons[events["template"].id]
    assert "rule bad-condition: where: TypeError" in reasons[events["condition"].id]
    assert f"deployment '{dataset}/unknown' is not registered" in reasons[events["unknown"].id]
    assert 'rule wrong-type: parameter source_path: 1 is not of type "string"' in reasons[events["type"].id]

    engine = create_engine(database_url)
    ledger = Ledger(create_sessions(engine))
    for name in ("template", "condition", "unknown", "type"):
        (row,) = await ledger.chain(events[name].id)
        assert row.status == "dead"
        assert row.reason
        assert await prefect.runs_of(events[name]) == []
    await engine.dispose()


async def test_a_dead_letter_is_replayed_once_and_gets_its_run(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, kafka_bootstrap: str, database_url: str
) -> None:
    event: Event = file_arrived(dataset)
    engine = create_engine(database_url)
    sessions = create_sessions(engine)
    async with bridges.running(file_rule(dataset), bridge_deployment_patience_s=0.0):
        await publisher.publish(event)
        (letter,) = await eventually(lambda: own_letters(kafka_bootstrap, bridges.group, event))
        await prefect.deploy(f"{dataset}/load")  # the fault is mended
        place = await replay(letter, publisher, sessions)
        assert place is not None
        assert place.startswith("lab.files[")
        assert await replay(letter, publisher, sessions) is None
        (run,) = await eventually(lambda: prefect.runs_of(event))
        (row,) = await eventually(
            lambda: Ledger(sessions).chain(event.id), until=lambda rows: rows[0].status == "created"
        )
    await engine.dispose()
    assert (row.flow_run_id, row.reason) == (run["id"], None)
    assert letter.record.headers
    assert not [name for name, _ in letter.record.headers if name.startswith("dlq_")]


async def test_the_same_over_rest(bridges: Bridges, publisher: Publisher, dataset: str, kafka_bootstrap: str) -> None:
    event = file_arrived(dataset)
    async with bridges.running(file_rule(dataset), bridge_deployment_patience_s=0.0) as bridge:
        await publisher.publish(event)
        (letter,) = await eventually(lambda: own_letters(kafka_bootstrap, bridges.group, event))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(bridge.app), base_url="http://bridge") as rest:
            chosen = {"group": bridges.group, "rule": "files", "error": "DeploymentMissing", "event": event.id}
            page = (await rest.get("/v1/dead-letters", params={**chosen, "page_size": "1"})).json()
            assert [found["id"] for found in page["dead_letters"]] == [letter.id]
            assert page["next_page_token"] is None
            shown = (await rest.get(f"/v1/dead-letters/{letter.id}")).json()
            assert (shown["rules"], shown["record"]["headers"]["ce_id"]) == (["files"], event.id)
            assert (await rest.get("/v1/dead-letters/7-999999")).status_code == 404

            assert (await rest.post("/v1/dead-letters:replay", json={})).status_code == 422
            slow = await rest.post("/v1/dead-letters:replay", json={"group": bridges.group, "rate": 0.001})
            assert slow.status_code == 422
            assert "datalab dlq replay" in slow.json()["detail"]
            outcomes = [
                (await rest.post("/v1/dead-letters:replay", json={**chosen, **more})).json()["replays"][0]["outcome"]
                for more in ({"dry_run": True}, {"ids": [letter.id]}, {"ids": [letter.id]})
            ]
    assert outcomes == ["would-replay", "replayed", "before"]
