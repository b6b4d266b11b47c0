"""`deploy` on a real Prefect server: what is declared is there, and a second time nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.config import DEPLOYMENTS, TIMEZONE, FlowSettings
from flows.registration import DeclarationError, register
from tests.integration.deploy.conftest import Prefect

ETL = "medallion-etl/medallion-etl-daily"
Deployed = Callable[[str], dict[str, Any]]


def change(prefect: Prefect, name: str) -> str:
    """What another `deploy` says it did to a deployment."""
    [row] = [row for row in prefect.manage("deploy") if row["name"] == name]
    return str(row["change"])


def test_every_deployment_is_on_the_server_with_its_schedule_in_sao_paulo(deployed: Deployed) -> None:
    for declared in DEPLOYMENTS:
        found = deployed(declared.full_name)
        schedules = [(s["schedule"]["cron"], s["schedule"]["timezone"], s["active"]) for s in found["schedules"]]
        assert schedules == ([(declared.cron, TIMEZONE, True)] if declared.cron else [])
        assert (found["work_pool_name"], found["entrypoint"]) == (declared.pool, declared.entrypoint)
        assert found["paused"] is False


def test_a_second_deploy_changes_nothing(prefect: Prefect, deployed: Deployed) -> None:
    before = {d.full_name: deployed(d.full_name) for d in DEPLOYMENTS}
    rows = prefect.manage("deploy")
    assert {row["name"]: row["change"] for row in rows} == dict.fromkeys(before, "unchanged")
    assert {name: deployed(name)["updated"] for name in before} == {name: d["updated"] for name, d in before.items()}
    assert [deployed(name)["schedules"] for name in before] == [d["schedules"] for d in before.values()]


def test_what_a_person_paused_stays_paused(prefect: Prefect, deployed: Deployed) -> None:
    found = deployed(ETL)
    [schedule] = found["schedules"]
    prefect.request("PATCH", f"/deployments/{found['id']}", {"paused": True, "description": "edited by hand"})
    prefect.request("PATCH", f"/deployments/{found['id']}/schedules/{schedule['id']}", {"active": False})
    try:
        assert change(prefect, ETL) == "updated: description"
        again = deployed(ETL)
        assert (again["paused"], again["schedules"][0]["active"]) == (True, False)
        assert (again["id"], again["schedules"][0]["id"]) == (found["id"], schedule["id"])
        [listed] = [row for row in prefect.manage("list") if row["name"] == ETL]
        assert (listed["paused"], listed["schedule"]) == (True, "0 6 * * * America/Sao_Paulo (paused)")
    finally:
        prefect.request("PATCH", f"/deployments/{found['id']}", {"paused": False})
        prefect.request("PATCH", f"/deployments/{found['id']}/schedules/{schedule['id']}", {"active": True})


def test_another_time_replaces_the_schedule_under_its_id(prefect: Prefect, deployed: Deployed) -> None:
    [schedule] = deployed(ETL)["schedules"]
    other = {"schedule": {"cron": "30 7 * * *", "timezone": "UTC"}}
    prefect.request("PATCH", f"/deployments/{deployed(ETL)['id']}/schedules/{schedule['id']}", other)
    assert change(prefect, ETL) == "updated: schedule 30 7 * * * UTC replaced"
    [again] = deployed(ETL)["schedules"]
    assert (again["id"], again["schedule"]["cron"], again["schedule"]["timezone"]) == (
        schedule["id"],
        "0 6 * * *",
        TIMEZONE,
    )


def test_a_schedule_that_is_not_declared_is_removed_and_a_missing_one_added(
    prefect: Prefect, deployed: Deployed
) -> None:
    found = deployed(ETL)
    added = [{"active": True, "schedule": {"interval": 3600}}]
    prefect.request("POST", f"/deployments/{found['id']}/schedules", added)
    prefect.request("DELETE", f"/deployments/{found['id']}/schedules/{found['schedules'][0]['id']}")
    assert change(prefect, ETL) == "updated: schedule 0 6 * * * added, schedule 1:00:00 UTC removed"
    assert [s["schedule"].get("cron") for s in deployed(ETL)["schedules"]] == ["0 6 * * *"]


async def test_a_deployment_that_is_no_longer_declared_loses_its_schedule_and_stays(
    prefect: Prefect, deployed: Deployed
) -> None:
    gone = DEPLOYMENTS[1].full_name
    with temporary_settings({PREFECT_API_URL: prefect.api}):
        rows = await register(FlowSettings(), [d for d in DEPLOYMENTS if d.full_name != gone])
    assert {row["name"]: row["change"] for row in rows}[gone] == "schedule removed: no longer declared"
    assert deployed(gone)["schedules"] == []
    assert change(prefect, gone) == f"updated: schedule {DEPLOYMENTS[1].cron} added"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"cron": "61 6 * * *"}, 'Invalid cron string: "61 6 * * *"'),
        ({"pool": "no-pool"}, "its pool 'no-pool' is none of POOLS"),
        ({"entrypoint": "flows/nothing.py:nothing"}, "No module named 'flows.nothing'"),
        ({"entrypoint": "flows/config.py:project_root"}, "flows/config.py:project_root is no flow"),
        ({"flow": "other"}, "is the flow 'medallion-etl', not 'other'"),
    ],
)
async def test_a_wrong_declaration_is_named_and_nothing_is_written(
    prefect: Prefect, deployed: Deployed, wrong: dict[str, Any], reason: str
) -> None:
    before = deployed(ETL)
    declared = [replace(DEPLOYMENTS[0], description="other"), replace(DEPLOYMENTS[0], **wrong)]
    with temporary_settings({PREFECT_API_URL: prefect.api}), pytest.raises(DeclarationError) as refused:
        await register(FlowSettings(), declared)
    assert reason in str(refused.value)
    assert "deployment 'medallion-etl-daily'" in str(refused.value)
    assert deployed(ETL) == before
