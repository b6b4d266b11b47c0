"""Starting deployments of the running lab as its user does, and waiting for what they cause."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx

from datalab.bus.publisher import Publisher
from datalab.bus.topics import ensure_topics
from datalab.runtime.settings import PROJECT_ROOT
from schemas.catalog import TopicSpec
from schemas.codec import EncodedRecord
from tests.e2e.conftest import Lab

T = TypeVar("T")
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def trigger(lab: Lab, name: str, **parameters: Any) -> str:
    """`python flows/manage_deployments.py trigger NAME`; returns the run's id."""
    options = [word for key, value in parameters.items() for word in ("--param", f"{key}={json.dumps(value)}")]
    command = [sys.executable, "flows/manage_deployments.py", "trigger", name, "--json", *options]
    environment = {**lab.environment, "PREFECT_API_URL": lab.addresses.prefect_api}
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)[0]["id"])


def wait_for(ask: Callable[[], T | None], what: str, within_s: float = 120.0) -> T:
    """The first answer that is not empty. A service that is away for a moment is asked again."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if answer := ask():
                return answer
        except httpx.TransportError as error:
            what = f"{what} ({error})"
        assert time.monotonic() < deadline, f"{what}: not within {within_s:g} s"
        time.sleep(0.25)  # looking again, with a deadline


def ended(lab: Lab, run_id: str, within_s: float = 120.0) -> dict[str, Any]:
    """The run, once it is in a final state."""

    def look() -> dict[str, Any] | None:
        run = get(f"{lab.addresses.prefect_api}/flow_runs/{run_id}")
        return run if run["state_type"] in ENDED else None

    return wait_for(look, f"the end of run {run_id}", within_s)


def completed(lab: Lab, run_id: str, within_s: float = 120.0) -> dict[str, Any]:
    """The run, which must have ended well."""
    run = ended(lab, run_id, within_s)
    assert run["state_type"] == "COMPLETED", run["state"]
    return run


def at_rest(lab: Lab, deployment: str) -> None:
    """Return once no run of the deployment is due or under way and the monitor knows every end: what an earlier story
    began may still come to its own."""
    flow_runs = f"{lab.addresses.prefect_api}/flow_runs/count"
    _, _, name = deployment.partition("/")

    def count(**wanted: Any) -> int:
        return int(post(flow_runs, {"deployments": {"name": {"any_": [name]}}, "flow_runs": wanted}))

    def rests() -> bool:
        due = {"before_": datetime.now(UTC).isoformat()}
        if count(state={"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}, expected_start_time=due):
            return False
        asked = {"deployment": deployment, "state": "COMPLETED", "page_size": 500}
        known = len(get(f"{lab.addresses.monitor}/v1/runs", **asked)["runs"])
        return known == count(state={"type": {"any_": ["COMPLETED"]}})

    wait_for(rests, f"rest of {deployment}")


def artifacts(lab: Lab, run_id: str) -> list[dict[str, Any]]:
    """What the run left for people."""
    body = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
    found: list[dict[str, Any]] = post(f"{lab.addresses.prefect_api}/artifacts/filter", body)
    return found


def get(url: str, **params: Any) -> Any:
    """The JSON that a GET answers."""
    with httpx.Client(trust_env=False, timeout=10) as client:
        return client.get(url, params=params).raise_for_status().json()


def post(url: str, body: Any) -> Any:
    """The JSON that a POST answers."""
    with httpx.Client(trust_env=False, timeout=10) as client:
        return client.post(url, json=body).raise_for_status().json()


def messages(lab: Lab, channel: str, contains: str) -> list[dict[str, Any]]:
    """Messages in the inbox that mention this."""
    answer = get(f"{lab.addresses.inbox}/api/messages", channel=channel, contains=contains)
    found: list[dict[str, Any]] = answer["messages"]
    return found


def user_topic(lab: Lab) -> str:
    """A new, empty topic, as a user would make one; returns its name."""
    name = f"lab.events.test-{uuid.uuid4().hex[:8]}"
    spec = TopicSpec(name=name, owner="test", key="none", description="of a test", partitions=1, retention_hours=1)
    asyncio.run(ensure_topics(lab.addresses.kafka, [spec]))
    return name


def put(lab: Lab, topic: str, message: dict[str, Any]) -> None:
    """A plain message on a topic."""

    async def publish() -> None:
        async with Publisher(lab.addresses.kafka, "test") as publisher:
            await publisher.publish_record(topic, EncodedRecord(None, json.dumps(message).encode(), []))

    asyncio.run(publish())
