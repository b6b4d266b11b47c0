"""Stopping and starting: nothing is left behind, nothing is forgotten. Runs last: it stops the shared lab."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from tests.e2e.conftest import Lab
from tests.e2e.runs import get, post

# Future runs of a schedule are not history: Prefect makes them anew whenever a deployment is registered.
ENDED = {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}
_PAGE = 200


def ended_runs(lab: Lab) -> set[str]:
    """Every run that has ended, with its state."""

    def pages() -> Iterator[str]:
        offset = 0
        while True:
            body = {"flow_runs": {"state": ENDED}, "sort": "ID_DESC", "limit": _PAGE, "offset": offset}
            runs = post(f"{lab.addresses.prefect_api}/flow_runs/filter", body)
            yield from (f"{run['id']} {run['state_type']}" for run in runs)
            if len(runs) < _PAGE:
                return
            offset += _PAGE

    return set(pages())


def delivered(lab: Lab) -> set[str]:
    """Every delivery that has been made."""

    def pages() -> Iterator[str]:
        token = None
        while True:
            more = {"page_token": token} if token else {}
            page = get(f"{lab.addresses.notifier}/v1/deliveries", status="delivered", page_size=_PAGE, **more)
            yield from (delivery["id"] for delivery in page["deliveries"])
            token = page["next_page_token"]
            if token is None:
                return

    return set(pages())


def settled(ask: Callable[[Lab], set[str]], lab: Lab) -> set[str]:
    """The answer, once it has not changed for three seconds: an earlier story's last steps may be under way."""
    deadline = time.monotonic() + 60
    last, since = ask(lab), time.monotonic()
    while time.monotonic() - since < 3:
        assert time.monotonic() < deadline, "it never came to rest"
        time.sleep(0.3)  # looking again, with a deadline
        if (now := ask(lab)) != last:
            last, since = now, time.monotonic()
    return last


def test_down_leaves_no_process_and_up_forgets_nothing(lab: Lab) -> None:
    deliveries, runs = settled(delivered, lab), settled(ended_runs, lab)
    assert deliveries
    assert runs
    lab.must("down")
    assert lab.processes() == []
    assert lab.run("status").returncode != 0
    lab.must("down")
    lab.must("up", "--detach")
    # A scheduled run may have ended meanwhile, and told of it.
    assert deliveries <= delivered(lab)
    assert runs <= ended_runs(lab)


def test_a_second_up_finds_the_lab_running(lab: Lab) -> None:
    pids = {name: part["pid"] for name, part in lab.status().items()}
    lab.must("up", "--detach")
    assert {name: part["pid"] for name, part in lab.status().items()} == pids
