"""Which runs can be forked, and which need an interpreter of their own."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse

from datalab.worker.configuration import WarmJobConfiguration, flow_directory, zygote_environment

STEP = "prefect.deployments.steps.set_working_directory"


def deployment(**fields: Any) -> DeploymentResponse:
    usual = {"entrypoint": "flows/a.py:a", "pull_steps": [{STEP: {"directory": "/srv/lab"}}]}
    return DeploymentResponse(name="a", flow_id=uuid.uuid4(), **{**usual, **fields})


def configuration(of: DeploymentResponse, **env: str) -> WarmJobConfiguration:
    found = WarmJobConfiguration(env=env)
    found._deployment = of
    return found


def test_code_in_a_directory_of_this_machine_is_forked() -> None:
    placement = configuration(deployment(), PREFECT__FLOW_RUN_ID="1").placement(zygote_environment())
    assert placement.cold is None
    assert (placement.directory, placement.entrypoint) == ("/srv/lab", "flows/a.py:a")
    assert placement.environment["PREFECT__FLOW_RUN_ID"] == "1"


def test_an_environment_of_its_own_is_not_forked() -> None:
    placement = configuration(deployment(), OMP_NUM_THREADS="4").placement(zygote_environment())
    assert placement.cold == "it has an environment of its own: OMP_NUM_THREADS"
    assert placement.directory == "/srv/lab"
    assert placement.environment["OMP_NUM_THREADS"] == "4"


def test_a_command_of_the_pool_is_run_as_it_is() -> None:
    found = WarmJobConfiguration(command="python -m prefect.engine")
    run = FlowRun(flow_id=uuid.uuid4(), name="brave-fox")
    found.prepare_for_flow_run(run, deployment())
    placement = found.placement(zygote_environment())
    assert placement.command == "python -m prefect.engine"
    assert placement.cold == "it has a command of its own: python -m prefect.engine"


def test_without_a_command_in_the_form_there_is_none() -> None:
    found = WarmJobConfiguration()
    found.prepare_for_flow_run(FlowRun(flow_id=uuid.uuid4(), name="brave-fox"), deployment())
    placement = found.placement(zygote_environment())
    assert (placement.command, placement.cold) == (None, None)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"entrypoint": None}, "no deployment with an entrypoint"),
        ({"pull_steps": None}, "fetched anew"),
        ({"pull_steps": [{"prefect.deployments.steps.git_clone": {"repository": "r"}}]}, "fetched anew"),
        ({"pull_steps": [{STEP: {"directory": "/a"}}, {STEP: {"directory": "/b"}}]}, "fetched anew"),
        ({"pull_steps": [{STEP: {"directory": "flows"}}]}, "not an absolute path"),
        ({"pull_steps": [{STEP: {"directory": "/{{ prefect.variables.home }}"}}]}, "not an absolute path"),
    ],
)
def test_code_that_prefect_fetches_is_not_forked(fields: dict[str, Any], why: str) -> None:
    of = deployment(**fields)
    directory, reason = flow_directory(of)
    assert directory is None
    assert why in (reason or "")
    placement = configuration(of).placement(zygote_environment())
    assert placement.cold == reason
    assert placement.entrypoint is None
