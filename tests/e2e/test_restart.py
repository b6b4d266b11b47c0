"""Stopping and starting: nothing is left behind, nothing is forgotten. Runs last: it stops the shared lab."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.e2e.conftest import Lab

# Future runs of a schedule are not history: Prefect makes them anew whenever a deployment is registered.
ENDED = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}}}


def counts(lab: Lab) -> tuple[int, int]:
    """Deliveries that were due, and runs that have ended."""
    addresses = lab.addresses
    with httpx.Client(trust_env=False, timeout=10) as client:
        due = client.get(f"{addresses.notifier}/v1/ledger").raise_for_status().json()["due"]
        runs = client.post(f"{addresses.prefect_api}/flow_runs/count", json=ENDED).raise_for_status().json()
    return due, runs


def settled_counts(lab: Lab) -> tuple[int, int]:
    """The same, once nothing has moved for three seconds: an earlier story's last messages may be under way."""
    deadline = time.monotonic() + 60
    last, since = counts(lab), time.monotonic()
    while time.monotonic() - since < 3:
        assert time.monotonic() < deadline, last
        time.sleep(0.3)  # looking again, with a deadline
        if (now := counts(lab)) != last:
            last, since = now, time.monotonic()
    return last


@pytest.mark.timeout(300)
def test_down_leaves_no_process_and_up_forgets_nothing(lab: Lab) -> None:
    before = settled_counts(lab)
    lab.must("down")
    assert lab.processes() == []
    assert lab.run("status").returncode != 0
    lab.must("down")
    lab.must("up", "--detach")
    assert counts(lab) == before


@pytest.mark.timeout(120)
def test_a_second_up_finds_the_lab_running(lab: Lab) -> None:
    pids = {name: part["pid"] for name, part in lab.status().items()}
    lab.must("up", "--detach")
    assert {name: part["pid"] for name, part in lab.status().items()} == pids
