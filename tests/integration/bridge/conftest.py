"""A bridge on real Kafka, Postgres and Prefect; each test has its own dataset, rules and consumer group."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from datalab.bus.publisher import Publisher
from schemas.envelope import Event, new_event
from schemas.files import FileArrived
from services.bridge.app import Bridge, build
from services.bridge.settings import BridgeSettings
from tests.support.lab_parts import fresh_database, prefect_server

_SCHEMA = {"type": "object", "properties": {"source_path": {"type": "string"}}, "required": ["source_path"]}


class PrefectLab:
    """The Prefect server as a test sees it: deployments without a worker, runs moved by hand."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self._client.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def deploy(self, name: str) -> str:
        """Register flow/deployment, with a schema that wants a text `source_path`; returns its id."""
        flow, _, deployment = name.partition("/")
        flow_id = (await self.call("POST", "/flows/", {"name": flow}))["id"]
        body = {"name": deployment, "flow_id": flow_id, "parameter_openapi_schema": _SCHEMA}
        return str((await self.call("POST", "/deployments/", body | {"enforce_parameter_schema": True}))["id"])

    async def start(self, deployment: str) -> str:
        """Start a run by hand, as a person would; returns its id."""
        body = {"parameters": {"source_path": "x"}}
        return str((await self.call("POST", f"/deployments/{deployment}/create_flow_run", body))["id"])

    async def runs_of(self, event: Event) -> list[dict[str, Any]]:
        query = {"flow_runs": {"tags": {"all_": [f"datalab.event={event.id}"]}}}
        runs: list[dict[str, Any]] = await self.call("POST", "/flow_runs/filter", query)
        return runs

    async def set_state(self, run_id: str, type_: str, message: str | None = None, name: str | None = None) -> None:
        body = {"state": {"type": type_, "message": message, "name": name}, "force": True}
        await self.call("POST", f"/flow_runs/{run_id}/set_state", body)


@pytest.fixture
async def prefect(prefect_api_url: str) -> AsyncIterator[PrefectLab]:
    async with httpx.AsyncClient(base_url=prefect_api_url, trust_env=False, timeout=60) as client:
        yield PrefectLab(client)


@pytest.fixture(scope="module")
def lonely_api(tmp_path_factory: pytest.TempPathFactory, database_server: str) -> Iterator[str]:
    """A server that is told of a broker where none is."""
    database = fresh_database(database_server, migrated=False)
    with prefect_server(tmp_path_factory.mktemp("lonely"), database, kafka="127.0.0.1:9") as api:
        yield api


@pytest.fixture
async def publisher(kafka_bootstrap: str) -> AsyncIterator[Publisher]:
    async with Publisher(kafka_bootstrap, "test") as publisher:
        yield publisher


@pytest.fixture
def dataset() -> str:
    """A dataset that no other test uses; deployments are named after it, too."""
    return f"d{uuid.uuid4().hex[:10]}"


def file_arrived(dataset: str, name: str = "a b.csv") -> Event:
    """A new event of a file of this dataset."""
    data = FileArrived(
        uri=f"file:///landing/{name.replace(' ', '%20')}", path=f"/landing/{name}", name=name, dataset=dataset,
        format="csv", size_bytes=1, sha256="0" * 64, modified_at=datetime.now(UTC),
    )  # fmt: skip
    return new_event(data, source="/test")


def file_rule(dataset: str, name: str = "files", **more: Any) -> dict[str, Any]:
    """A rule that runs `{dataset}/load` for each file of the dataset."""
    run = {"deployment": f"{dataset}/load", "parameters": {"source_path": "{{ event.data.uri }}"}}
    where = f"event.data.dataset == '{dataset}'"
    return {"name": name, "on": ["lab.file.arrived.v1"], "where": where, "run": run | more}


class Bridges:
    """Starts bridges that share a group and a database, as several instances of the service do."""

    def __init__(self, folder: Path, group: str, environment: dict[str, str]) -> None:
        self._folder, self.group, self._environment = folder, group, environment

    def settings(self, rules: Sequence[dict[str, Any]], **more: Any) -> BridgeSettings:
        (self._folder / "rules").mkdir(exist_ok=True)
        (self._folder / "rules" / "rules.yaml").write_text(yaml.safe_dump_all(rules), "utf-8")
        fields = {"datalab_config_dir": self._folder, "bridge_group": self.group}
        often = {"bridge_relay_poll_s": 0.2, "bridge_relay_look_s": 2.0}
        return BridgeSettings.model_validate({**self._environment, **fields, **often, **more})

    @asynccontextmanager
    async def running(self, *rules: dict[str, Any], **more: Any) -> AsyncIterator[Bridge]:
        stop = asyncio.Event()
        async with build(self.settings(rules, **more)) as bridge:
            working = asyncio.create_task(bridge.work(stop))
            try:
                yield bridge
                assert not working.done(), f"the bridge ended: {working}"
            finally:
                stop.set()
                await working


@pytest.fixture
def bridges(tmp_path: Path, dataset: str, kafka_bootstrap: str, database_url: str, prefect_api_url: str) -> Bridges:
    environment = {
        "kafka_bootstrap_servers": kafka_bootstrap,
        "database_url": database_url,
        "prefect_api_url": prefect_api_url,
    }
    return Bridges(tmp_path, f"bridge-{dataset}", environment)
