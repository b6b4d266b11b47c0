"""Ingest while Kafka, Postgres and it itself are killed: it goes on, no file is lost, and none gets a second id."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from datalab.bus.reader import read_events
from datalab.local.control import running
from datalab.local.layout import LabLayout
from datalab.local.state import LabState
from tests.support.lab_parts import lab_parts
from tests.support.polling import eventually, wait_for
from tests.support.processes import free_port


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabState]:
    with lab_parts(tmp_path_factory.mktemp("lab"), ["ingest"], {"INGEST_PORT": str(free_port())}) as state:
        yield state


def url(lab: LabState) -> str:
    return str(lab.parts["ingest"].url)


def kill(lab: LabState, part: str) -> None:
    def process() -> int | None:
        """As it is now: an outage before may have ended the one that the lab began with."""
        now = running(LabLayout.at(Path(lab.home)))
        return now.parts[part].pid if now is not None else None

    os.kill(wait_for(process, what=f"a process of {part}"), signal.SIGKILL)


async def post(lab: LabState, identity: str) -> httpx.Response:
    event = {
        "specversion": "1.0",
        "id": identity,
        "source": "test",
        "type": "lab.metric.sampled.v1",
        "data": {"of": "x", "name": "n", "value": 1, "unit": "1"},
    }
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        headers = {"content-type": "application/cloudevents+json"}
        return await http.post(f"{url(lab)}/v1/events", json=event, headers=headers)


async def published(lab: LabState, path: Path) -> bool:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        answer = await http.get(f"{url(lab)}/v1/files", params={"status": "published"})
    return answer.status_code == 200 and str(path) in {row["path"] for row in answer.json()["files"]}


def arrive(lab: LabState, name: str) -> Path:
    path = Path(lab.home) / "landing" / "stocks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"a\n{name}\n")
    return path


async def ids_on_kafka(lab: LabState, path: Path) -> set[str]:
    bootstrap = f"127.0.0.1:{lab.parts['kafka'].ports['kafka']}"
    return {event.id async for _, event in read_events(bootstrap, ["lab.files"]) if event.data["path"] == str(path)}


async def test_kafka_killed_is_503_and_then_202_again(lab: LabState) -> None:
    assert (await post(lab, str(uuid.uuid4()))).status_code == 202
    kill(lab, "kafka")
    identity = str(uuid.uuid4())
    answer = await post(lab, identity)
    assert answer.status_code in {202, 503}
    path = arrive(lab, "while-kafka-is-away.csv")

    async def accepted() -> bool:
        return (await post(lab, identity)).status_code == 202

    await eventually(accepted, within_s=120)
    await eventually(lambda: published(lab, path), within_s=120)
    assert len(await ids_on_kafka(lab, path)) == 1


async def test_postgres_killed_delays_files_and_not_events(lab: LabState) -> None:
    kill(lab, "postgres")
    assert (await post(lab, str(uuid.uuid4()))).status_code == 202
    path = arrive(lab, "while-postgres-is-away.csv")

    await eventually(lambda: published(lab, path), within_s=120)
    assert len(await ids_on_kafka(lab, path)) == 1


async def test_ingest_killed_finds_what_came_meanwhile(lab: LabState) -> None:
    kill(lab, "ingest")
    path = arrive(lab, "while-ingest-is-away.csv")

    async def found() -> bool:
        try:
            return await published(lab, path)
        except httpx.HTTPError:
            return False

    await eventually(found, within_s=120)
    assert len(await ids_on_kafka(lab, path)) == 1
