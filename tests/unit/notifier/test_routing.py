"""Who is due what: routes, subscriptions, and reasons where nobody is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.alerts import AlertFiring
from schemas.envelope import Event, new_event
from services.notifier.config import ConfigError, NotifyConfig, load_config
from services.notifier.routing import Planned, Routing, Wish, receivers_for, wants

PROJECT = Path(__file__).resolve().parents[3]
RECEIVERS = [
    {"name": "mail", "channel": "email", "to": ["a@datalab.example"]},
    {"name": "chat", "channel": "slack", "url_env": "SLACK_WEBHOOK_URL"},
    {"name": "hook", "channel": "webhook", "url": "https://hooks.example/x"},
]


def firing(**more: Any) -> AlertFiring:
    values = {
        "fingerprint": "f",
        "episode": "e",
        "rule": "flow-run-failed",
        "severity": "error",
        "summary": "s",
        "labels": {"team": "data"},
        "starts_at": "2026-11-24T00:00:00Z",
        **more,
    }
    return AlertFiring(**values)


def config(*routes: dict[str, Any]) -> NotifyConfig:
    return NotifyConfig.model_validate({"receivers": RECEIVERS, "routes": list(routes)})


def plan(rules: NotifyConfig, environment: dict[str, str], *wishes: Wish) -> tuple[Event, list[Planned]]:
    alert = firing()
    event = new_event(alert, source="t")
    return event, Routing(rules.routes, rules.targets(environment)).plan(event, alert, wishes)


@pytest.mark.parametrize(
    ("match", "reached"),
    [
        ({}, True),
        ({"severity": "error"}, True),
        ({"severity": ["critical", "warning"]}, False),
        ({"rule": "flow-*"}, True),
        ({"rule": ["quality-*", "model-*"]}, False),
        ({"labels": {"team": "data"}}, True),
        ({"labels": {"team": ["ops", "d?ta"]}}, True),
        ({"labels": {"absent": "x"}}, False),
        ({"severity": "error", "labels": {"team": "ops"}}, False),
    ],
)
def test_every_matcher_of_a_route_must_hold(match: dict[str, Any], reached: bool) -> None:
    rules = config({"name": "r", "match": match, "receivers": ["mail"]})
    assert (receivers_for(firing(), rules.routes) == ["mail"]) is reached


def test_the_first_route_decides_unless_it_continues() -> None:
    routes = [
        {"name": "one", "receivers": ["mail"], "continue": True},
        {"name": "two", "receivers": ["mail", "hook"]},
        {"name": "three", "receivers": ["chat"]},
    ]
    assert receivers_for(firing(), config(*routes).routes) == ["mail", "hook"]


def test_an_alert_without_a_route_is_recorded_with_the_reason() -> None:
    rules = config({"name": "r", "match": {"severity": "info"}, "receivers": ["mail"]})
    _, planned = plan(rules, {})
    assert [(p.channel, p.suppressed) for p in planned] == [("none", "no route matches this alert")]


def test_a_receiver_without_its_variable_is_suppressed_with_the_reason() -> None:
    rules = config({"name": "r", "receivers": ["mail", "chat", "hook"]})
    _, planned = plan(rules, {"SMTP_HOST": "mail.example"})
    assert {p.target: p.suppressed for p in planned} == {
        "mail": None,
        "chat": "receiver chat is not configured: set SLACK_WEBHOOK_URL",
        "hook": None,
    }


def test_ids_are_the_same_for_the_same_event_and_differ_between_targets() -> None:
    rules = config({"name": "r", "receivers": ["mail", "chat", "hook"]})
    routing = Routing(rules.routes, rules.targets({}))
    alert = firing()
    event = new_event(alert, source="t")
    # A subscription may have a receiver's name; it is another target all the same.
    wishes = [Wish("id-1", "hook", ("lab.alert.*",))]
    first, second = (routing.plan(event, alert, wishes) for _ in range(2))
    assert [p.id for p in first] == [p.id for p in second]
    assert len({p.id for p in first}) == 4


def test_nobody_wants_an_event_that_is_no_alert() -> None:
    event = Event(id="1", source="t", type="lab.run.started.v1", time="2026-11-24T00:00:00Z")
    assert Routing([], {}).plan(event, None, [Wish("1", "w", ("lab.file.*",))]) == []


def test_a_disabled_subscription_is_recorded() -> None:
    event = Event(id="1", source="t", type="lab.run.started.v1", time="2026-11-24T00:00:00Z")
    planned = Routing([], {}).plan(event, None, [Wish("1", "w", ("lab.run.*",), "subscription w is disabled: x")])
    assert [p.suppressed for p in planned] == ["subscription w is disabled: x"]


def test_patterns_of_types() -> None:
    assert wants(["lab.run.*"], "lab.run.completed.v1")
    assert wants(["*"], "anything")
    assert not wants(["lab.run.completed.v1"], "lab.run.completed.v2")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("routes: []", "receivers: Field required"),
        ("receivers: [", "is not YAML"),
        ("receivers: []\nroutes: [{name: r, receivers: [ghost]}]", "route r names the unknown receiver ghost"),
        ("receivers: [{name: m, channel: email}]\nroutes: []", "needs `to` or `to_env`"),
        ("receivers: [{name: m, channel: pager}]\nroutes: []", "receivers.0"),
        ("receivers: []\nroutes: []\nsilence: []", "silence: Extra inputs are not permitted"),
        (
            "receivers: [{name: m, channel: email, to: [a@b.c]}, {name: m, channel: email, to: [a@b.c]}]\nroutes: []",
            "the receiver name m is used twice",
        ),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path: Path, content: str, complaint: str) -> None:
    file = tmp_path / "notify.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert complaint in str(caught.value)
    assert "notify.yaml" in str(caught.value)


def test_the_shipped_file_is_right_and_reaches_every_channel() -> None:
    shipped = load_config(PROJECT / "config" / "notify.yaml")
    for severity in ("critical", "error", "warning", "info"):
        names = receivers_for(firing(severity=severity), shipped.routes)
        targets = shipped.targets({})
        assert {targets[name].channel for name in names} == {"email", "slack", "teams", "webhook"}


def test_a_webhook_secret_that_is_none_is_named_but_not_shown() -> None:
    shipped = load_config(PROJECT / "config" / "notify.yaml")
    environment = {"ALERT_WEBHOOK_URL": "https://a.example/x", "ALERT_WEBHOOK_SECRET": "whsec_c2hvcnQ="}
    reason = shipped.targets(environment)["alert-webhook"].unavailable or ""
    assert "ALERT_WEBHOOK_SECRET must hold 24 to 64 bytes" in reason
    assert "c2hvcnQ" not in reason
