"""Rules that change while a bridge runs: the next events meet the new ones, and nothing is started twice or lost."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import httpx
import yaml
from httpx import ASGITransport

from datalab.bus.publisher import Publisher
from schemas.envelope import Event, new_event
from schemas.quality import QualityPassed
from services.bridge.app import Bridge
from tests.integration.bridge.conftest import Bridges, PrefectLab, file_arrived, file_rule
from tests.support.polling import eventually


async def rules_of(bridge: Bridge) -> Any:
    async with httpx.AsyncClient(transport=ASGITransport(bridge.app), base_url="http://bridge") as client:
        return (await client.get("/v1/rules")).json()


def passed(dataset: str) -> Event:
    data = QualityPassed(
        dataset=dataset, table="/lake/t", rows_checked=1, rows_failed=0, rules=[], source_uri="file:///x", run_id="r"
    )  # fmt: skip
    return new_event(data, source="/test", id=str(uuid.uuid4()))


async def test_changed_rules_meet_the_next_events(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, tmp_path: Path
) -> None:
    for name in ("load", "other", "check"):
        await prefect.deploy(f"{dataset}/{name}")
    first, second, third, checked = *(file_arrived(dataset, f"{n}.csv") for n in "abc"), passed(dataset)
    file = tmp_path / "rules" / "rules.yaml"
    async with bridges.running(file_rule(dataset), bridge_rules_poll_s=0.1) as bridge:
        await publisher.publish(first)
        await eventually(lambda: prefect.runs_of(first))

        other = file_rule(dataset, deployment=f"{dataset}/other")
        file.write_text(yaml.safe_dump(other))
        await eventually(lambda: rules_of(bridge), until=lambda r: r["rules"][0]["deployment"] == f"{dataset}/other")
        await publisher.publish(second)
        (run,) = await eventually(lambda: prefect.runs_of(second))
        assert run["idempotency_key"] == f"datalab:files:{dataset}/other:{second.id}"

        file.write_text("name: half a ru")
        broken = await eventually(lambda: rules_of(bridge), until=lambda r: r["fault"] is not None)
        assert broken["rules"][0]["deployment"] == f"{dataset}/other"
        assert "rules.yaml:1: name" in broken["fault"]
        await publisher.publish(third)
        await eventually(lambda: prefect.runs_of(third))

        # A topic that nobody listened to so far.
        check = file_rule(dataset, "check", deployment=f"{dataset}/check", parameters={"source_path": "x"})
        file.write_text(yaml.safe_dump_all([other, check | {"on": ["lab.quality.passed.v1"]}]))
        await publisher.publish(checked)
        await eventually(lambda: prefect.runs_of(checked))
    assert [len(await prefect.runs_of(event)) for event in (first, second, third, checked)] == [1, 1, 1, 1]
