"""A user's own type, from its registration over REST to the run that a rule starts for it."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import httpx

from tests.integration.bridge.conftest import Bridges, PrefectLab
from tests.support.polling import eventually
from tests.support.processes import free_port, service, wait_until_ready

SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}


async def test_a_rule_on_a_users_type_starts_one_run(
    bridges: Bridges, prefect: PrefectLab, dataset: str, kafka_bootstrap: str, database_url: str, tmp_path: Path
) -> None:
    """The bridge is there first: it must find a topic that nobody has registered yet."""
    type_, port, log = f"shop.{dataset}.v1", free_port(), tmp_path / "ingest.log"
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "DATABASE_URL": database_url,
        "DATALAB_HOME": str(tmp_path),
        "INGEST_PORT": str(port),
    }
    run = {"deployment": f"{dataset}/load", "parameters": {"source_path": "order {{ event.subject }}"}}
    rule = {"name": "large-orders", "on": [type_], "where": "event.data.total > 100", "run": run}
    await prefect.deploy(f"{dataset}/load")

    async with (
        bridges.running(rule),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as http,
    ):
        with service("services.ingest", environ, log) as process:
            await asyncio.to_thread(wait_until_ready, str(http.base_url), process, log)
            registered = await http.put(f"/v1/schemas/{type_}", json=SCHEMA)
            assert registered.status_code == 201, registered.text
            ids = []
            for total in (7, 101):
                event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "shop", "type": type_,
                         "subject": str(total), "data": {"total": total}}  # fmt: skip
                sent = await http.post(
                    "/v1/events", json=event, headers={"content-type": "application/cloudevents+json"}
                )
                assert sent.status_code == 202, sent.text
                ids.append(event["id"])

            async def runs_of(event_id: str) -> list[dict[str, object]]:
                query = {"flow_runs": {"tags": {"all_": [f"datalab.event={event_id}"]}}}
                return list(await prefect.call("POST", "/flow_runs/filter", query))

            (run_,) = await eventually(lambda: runs_of(ids[1]))
            assert run_["parameters"] == {"source_path": "order 101"}
            assert await runs_of(ids[0]) == []
