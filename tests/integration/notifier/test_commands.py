"""`datalab subscriptions` and `datalab deliveries` against a running notifier, as a user types them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from datalab.cli import alerts, deliveries, notify, silences, subscriptions
from schemas.envelope import new_event
from tests.integration.notifier.conftest import StartNotifier
from tests.integration.notifier.parts import Process, Receiver, alert, publish, until


@pytest.fixture(scope="module")
def notifier(start_notifier: StartNotifier) -> Iterator[Process]:
    with start_notifier() as started:
        yield started


def datalab(notifier: Process, *words: str) -> Result:
    app = typer.Typer()
    for module in (subscriptions, deliveries, silences, alerts, notify):
        module.register(app)
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
    until(lambda: "delivered" in datalab(notifier, "deliveries", "list", "--channel", "webhook").output)
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
    receiver.agrees_to, receiver.allowed_rate = "*", "120"
    asked = datalab(notifier, "subscriptions", "handshake", "late")
    receiver.allowed_rate = "*"
    assert (asked.exit_code, "late has agreed by handshake" in asked.output) == (0, True)
    assert "disabled: switched off" in datalab(notifier, "subscriptions", "disable", "late").output
    assert "late: active, 120 a minute" in datalab(notifier, "subscriptions", "enable", "late").output
    replayed = datalab(notifier, "deliveries", "replay", "--target", "late", "--since", "2h", "--rate", "5")
    assert (replayed.exit_code, "due again: 0" in replayed.output) == (0, True)
    assert "--match 'x': must be" in str(datalab(notifier, *words[:4], "--match", "x").exception)
    assert "choose them by --target" in str(datalab(notifier, "deliveries", "replay").exception)
    assert datalab(notifier, "subscriptions", "remove", "late").exit_code == 0


def test_a_silence_and_an_alert_from_beginning_to_end(notifier: Process, kafka_bootstrap: str) -> None:
    added = datalab(notifier, "silences", "add", "--rule", "quality-*", "--label", "dataset=stocks", "--for", "1h",
                    "--comment", "planned work", "--author", "ana", "--json")  # fmt: skip
    assert added.exit_code == 0, added.output
    silence = json.loads(added.stdout)["id"]
    assert "rule=quality-*, dataset=stocks  ana: planned work" in datalab(notifier, "silences", "list").output
    fingerprint = f"fp-{uuid.uuid4().hex[:10]}"
    publish(kafka_bootstrap, new_event(alert(fingerprint), source="test"))
    until(lambda: notifier.get("/v1/deliveries", fingerprint=fingerprint)["deliveries"], what="deliveries")
    explained = datalab(notifier, "notify", "explain", fingerprint)
    assert "✓ serious: matches severity=critical|error" in explained.output
    assert "team-slack (slack, by serious): not told: silenced by ana until" in explained.output
    assert datalab(notifier, "silences", "expire", silence).exit_code == 0
    assert silence in datalab(notifier, "silences", "list", "--state", "expired").output

    def told() -> bool:
        found = notifier.get("/v1/deliveries", fingerprint=fingerprint, status="delivered")["deliveries"]
        return {one["channel"] for one in found} == {"email", "slack", "teams", "webhook"}

    until(told, what="the alert told after the silence")
    acked = datalab(notifier, "alerts", "ack", fingerprint, "--author", "bia", "--comment", "looking")
    assert "acknowledged by bia" in acked.output
    [shown] = [a for a in notifier.get("/v1/alerts")["alerts"] if a["fingerprint"] == fingerprint]
    assert (shown["acked_by"], shown["ack_comment"]) == ("bia", "looking")
    assert "acknowledged by nobody" in datalab(notifier, "alerts", "unack", fingerprint).output


def test_receivers_can_be_seen_and_tried(notifier: Process, tmp_path: Path) -> None:
    listed = datalab(notifier, "notify", "receivers").output
    assert "team-slack (slack, 1/s): http://127.0.0.1" in listed
    assert "planted" not in listed
    tried = datalab(notifier, "notify", "test", "team-email")
    assert (tried.exit_code, tried.output.split()[0]) == (0, "delivered"), tried.output
    file = tmp_path / "mail.html"
    preview = datalab(notifier, "notify", "preview", "team-email", "--html", str(file))
    assert json.loads(preview.stdout)["headers"]["Subject"].startswith("[DataFlow Lab] Warning: An example")
    assert "<html" in file.read_text("utf-8")
    nothing = datalab(notifier, "notify", "test", "nobody")
    assert "notify.yaml has no receiver 'nobody'; there are:" in str(nothing.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--for", "1h", "--comment", "x"), "matchers: name something to match"),
        (("--rule", "x", "--comment", "x"), "needs either ends_at or duration"),
        (("--rule", "x", "--for", "soon", "--comment", "x"), "must be a length of time"),
        (("--rule", "x", "--for", "500d", "--comment", "x"), "must be within a year"),
        (("--label", "x", "--for", "1h", "--comment", "x"), "write it as NAME=VALUE"),
        (("--severity", "urgent", "--for", "1h", "--comment", "x"), "severity"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused(notifier: Process, words: tuple[str, ...], said: str) -> None:
    assert said in str(datalab(notifier, "silences", "add", *words).exception)
