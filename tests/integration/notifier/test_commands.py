"""`datalab subscriptions` and `datalab deliveries` against a running notifier, as a user types them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from datalab.cli import deliveries, subscriptions
from tests.integration.notifier.conftest import StartNotifier
from tests.integration.notifier.parts import Process, Receiver


@pytest.fixture(scope="module")
def notifier(start_notifier: StartNotifier) -> Iterator[Process]:
    with start_notifier() as started:
        yield started


def datalab(notifier: Process, *words: str) -> Result:
    app = typer.Typer()
    subscriptions.register(app)
    deliveries.register(app)
    return CliRunner().invoke(app, words, env={"NOTIFIER_URL": notifier.url})


def test_a_subscription_from_beginning_to_end(notifier: Process, receiver: Receiver) -> None:
    added = datalab(notifier, "subscriptions", "add", "mine", f"{receiver.url}/mine", "lab.run.*", "--json")
    assert added.exit_code == 0, added.output
    secret = json.loads(added.stdout)["secret"]
    again = datalab(notifier, "subscriptions", "add", "mine", f"{receiver.url}/mine", "lab.run.*")
    assert again.exit_code == 0
    assert "subscribed already" in again.output
    listed = datalab(notifier, "subscriptions", "list")
    assert "lab.run.*" in listed.output
    assert "/mine" not in listed.output
    tested = datalab(notifier, "subscriptions", "test", "mine")
    assert (tested.exit_code, tested.output.split()[0]) == (0, "delivered")
    rotated = datalab(notifier, "subscriptions", "rotate", "mine")
    assert rotated.stdout.strip().startswith("whsec_")
    assert rotated.stdout.strip() != secret
    shown = json.loads(datalab(notifier, "deliveries", "list", "--json").stdout)
    assert [d["status"] for d in shown if d["target"] == "mine"] == ["delivered"]
    assert datalab(notifier, "deliveries", "replay", shown[0]["id"]).exit_code == 0
    assert "delivered" in datalab(notifier, "deliveries", "list", "--channel", "webhook").output
    assert datalab(notifier, "subscriptions", "remove", "mine").exit_code == 0
    assert "no subscriptions" in datalab(notifier, "subscriptions", "list").output


def test_a_mistake_is_one_clear_line(notifier: Process) -> None:
    result = datalab(notifier, "subscriptions", "remove", "absent")
    assert str(result.exception) == "no subscription has the id or name 'absent' (HTTP 404)"


def test_an_endpoint_that_agrees_late_is_switched_off_and_on(notifier: Process, receiver: Receiver) -> None:
    receiver.agrees_to = "nobody"
    words = ["subscriptions", "add", "late", f"{receiver.url}/late", "--match", "severity=critical", "--owner", "team"]
    added = datalab(notifier, *words, "--signature", "v1+v1a", "--ordering", "subject")
    assert added.exit_code == 0, added.output
    assert "public key, for v1a: whpk_" in added.output
    assert "nothing is sent to it yet: OPTIONS was not answered" in added.output
    assert "has not agreed to receive" in datalab(notifier, "subscriptions", "list").output
    assert datalab(notifier, "subscriptions", "handshake", "late").exit_code == 1
    receiver.agrees_to = "*"
    asked = datalab(notifier, "subscriptions", "handshake", "late")
    assert (asked.exit_code, "late has agreed by handshake" in asked.output) == (0, True)
    assert "disabled: switched off" in datalab(notifier, "subscriptions", "disable", "late").output
    assert "late: active" in datalab(notifier, "subscriptions", "enable", "late").output
    replayed = datalab(notifier, "deliveries", "replay", "--target", "late", "--since", "2h", "--rate", "5")
    assert (replayed.exit_code, "due again: 0" in replayed.output) == (0, True)
    assert "--match 'x': must be" in str(datalab(notifier, *words[:4], "--match", "x").exception)
    assert "choose them by --target" in str(datalab(notifier, "deliveries", "replay").exception)
    assert datalab(notifier, "subscriptions", "remove", "late").exit_code == 0
