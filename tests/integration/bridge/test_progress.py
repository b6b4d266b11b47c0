"""A bridge that lives and gets nowhere says so, goes on by itself when it can, and ends itself when it cannot."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from datalab.bus.publisher import Publisher
from datalab.runtime.settings import PROJECT_ROOT
from tests.integration.bridge.conftest import Bridges, PrefectLab, file_arrived, file_rule
from tests.integration.bridge.test_service import rest
from tests.support.door import door_to
from tests.support.odd_servers import answering_server
from tests.support.polling import eventually
from tests.support.processes import free_port


async def test_a_prefect_that_falls_silent_is_named_and_waited_for(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, prefect_api_url: str
) -> None:
    await prefect.deploy(f"{dataset}/load")
    server, event = urlsplit(prefect_api_url), file_arrived(dataset)
    async with door_to(server.hostname or "", server.port or 0) as door:
        behind = {"prefect_api_url": f"http://127.0.0.1:{door.port}/api", "bridge_prefect_timeout_s": 1.0}
        async with (
            bridges.running(file_rule(dataset), bridge_stall_s=1.5, **behind) as bridge,
            rest(bridge) as client,
        ):
            await eventually(lambda: client.get("/readyz"), until=lambda answer: answer.status_code == 200)
            door.hush()
            await publisher.publish(event)
            stalled = await eventually(
                lambda: client.get("/readyz"),
                until=lambda answer: all(said in answer.text for said in ("stuck on lab.files", "PrefectAwayError")),
            )
            assert stalled.status_code == 503
            assert {"relay", "prefect", "kafka"} <= stalled.json()["checks"].keys()
            assert await prefect.runs_of(event) == []
            await door.open()
            await eventually(lambda: prefect.runs_of(event))
            await eventually(lambda: client.get("/readyz"), until=lambda answer: answer.status_code == 200)
    assert len(await prefect.runs_of(event)) == 1


async def test_a_bridge_that_gets_nowhere_though_all_answers_ends_so_that_another_is_started(
    tmp_path: Path, dataset: str, kafka_bootstrap: str, database_url: str
) -> None:
    """Here it is a server that says it is well, and refuses all that is asked of it."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "rules.yaml").write_text(yaml.safe_dump(file_rule(dataset)), "utf-8")
    with answering_server(200, b"true") as port:
        environment = {
            "DATALAB_CONFIG_DIR": str(tmp_path), "DATABASE_URL": database_url, "BRIDGE_GROUP": f"bridge-{dataset}",
            "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap, "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "BRIDGE_STALL_S": "1", "BRIDGE_HEAL_S": "2", "BRIDGE_PORT": str(free_port()),
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.bridge", cwd=PROJECT_ROOT, env=os.environ | environment,
            stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _, said = await asyncio.wait_for(process.communicate(), 150)
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 1
    last = said.decode().strip().splitlines()[-1]
    assert last.startswith("bridge: no progress for ")
    assert "relay: no progress for " in last
