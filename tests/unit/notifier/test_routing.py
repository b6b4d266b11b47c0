"""Who is due what: routes, subscriptions, and reasons where nobody is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.envelope import Event, new_event
from services.notifier.config import ConfigError, NotifyConfig, load_config
from services.notifier.planned import Planned
from services.notifier.routes import decide, receivers_for
from services.notifier.routing import Routing
from services.notifier.standing import Standing
from services.notifier.verdicts import Circumstances, Source
from services.notifier.wishes import Wish, subscribed, wants
from tests.unit.notifier.alerts import ENVIRONMENT, NOW, RECEIVERS, config, firing

PROJECT = Path(__file__).resolve().parents[3]
AROUND = Circumstances(NOW)
FILE = "receivers:\n  - name: m\n    channel: email\n    to:\n      - a@b.c\nroutes:\n"


def plan(rules: NotifyConfig, environment: dict[str, str]) -> list[Planned]:
    alert = firing()
    event = new_event(alert, source="t")
    return list(Routing(rules, rules.targets(environment)).plan(event, alert, AROUND, Standing("f")).deliveries)


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
        ({"rule": "!flow-*"}, False),
        ({"rule": ["!quality-*"], "labels": {"team": "!ops"}}, True),
        ({"rule": ["flow-*", "!*-failed"]}, False),
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


def test_an_inner_route_decides_and_has_what_the_outer_one_says() -> None:
    inner = {"name": "stocks", "match": {"labels": {"team": "data"}}, "receivers": ["chat"]}
    other = {"name": "ops", "match": {"labels": {"team": "ops"}}}
    rules = config({"name": "all", "receivers": ["mail"], "mute": [], "routes": [other, inner]})
    assert receivers_for(firing(), rules.routes) == ["chat"]
    assert receivers_for(firing(labels={"team": "ops"}), rules.routes) == ["mail"]
    assert receivers_for(firing(labels={}), rules.routes) == ["mail"]
    steps, leads = decide(firing(), rules.routes)
    assert [(step.path, step.matched) for step in steps] == [("all", True), ("all/ops", False), ("all/stocks", True)]
    assert steps[1].reason == "label team is data, which does not fit ops"
    assert [lead.path for lead in leads] == ["all/stocks"]


def test_a_receiver_of_two_routes_is_told_once_and_by_the_one_that_is_not_mute() -> None:
    always = [{"name": "always", "times": [{"weekdays": "mon-sun"}]}]
    mute = {"name": "one", "receivers": ["hook"], "mute": ["always"], "continue": True}
    rules = config(mute, {"name": "two", "receivers": ["hook"]}, time_intervals=always)
    verdicts = Routing(rules, rules.targets({})).verdicts(firing(), AROUND)
    assert [(v.receiver, v.lead.path, v.suppressed) for v in verdicts] == [("hook", "two", None)]


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        ({"mute": ["noon"]}, "muted: it is 12:00 in America/Sao_Paulo, within noon"),
        ({"mute": ["night"]}, None),
        ({"active": ["noon", "night"]}, None),
        ({"active": ["night"]}, "muted: it is 15:00 in UTC, outside night"),
    ],
)
def test_mute_and_active_times_keep_a_route_silent(route: dict[str, Any], reason: str | None) -> None:
    intervals = [
        {"name": "noon", "time_zone": "America/Sao_Paulo", "times": [{"from": "12:00", "to": "13:00"}]},
        {"name": "night", "times": [{"from": "22:00", "to": "06:00"}]},
    ]
    rules = config({"name": "r", "receivers": ["mail"], **route}, time_intervals=intervals)
    [verdict] = Routing(rules, rules.targets(ENVIRONMENT)).verdicts(firing(), AROUND)
    assert verdict.suppressed == reason


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (Source("other", "service-down", "critical", {"team": "data"}, "Spark is down"), False),
        (Source("other", "service-down", "critical", {"team": "ops"}), True),
        (Source("other", "quality", "critical", {"team": "data"}), True),
        (Source("f", "service-down", "critical", {"team": "data"}), True),
    ],
    ids=["equal label", "another label", "another rule", "itself"],
)
def test_a_firing_source_inhibits_its_target(source: Source, told: bool) -> None:
    rule = {"name": "cause", "source": {"rule": "service-*"}, "target": {"rule": "flow-*"}, "equal": ["team"]}
    rules = config({"name": "r", "receivers": ["hook"]}, inhibit=[rule])
    [verdict] = Routing(rules, rules.targets({})).verdicts(firing(), Circumstances(NOW, [source]))
    assert verdict.suppressed == (None if told else "inhibited by cause: Spark is down (other) is firing")


def test_an_inner_route_groups_as_the_outer_one_but_for_what_it_says() -> None:
    inner = {"name": "in", "group_wait": "0s", "repeat_interval": "1h"}
    outer = {"name": "out", "receivers": ["mail"], "group_by": ["rule", "team"], "routes": [inner]}
    [lead] = decide(firing(), config(outer).routes)[1]
    assert lead.grouping is not None
    assert (lead.grouping.wait.total_seconds(), lead.grouping.interval.total_seconds()) == (0, 300)
    assert lead.grouping.labels(firing()) == {"rule": "flow-run-failed", "team": "data"}
    assert lead.repeat.total_seconds() == 3600


def test_a_receiver_that_is_not_configured_has_its_fall_back_told() -> None:
    receivers = [RECEIVERS[0], {**RECEIVERS[1], "fallback": "hook"}, RECEIVERS[2]]
    rules = config({"name": "r", "receivers": ["chat"]}, receivers=receivers)
    assert [(p.target, p.suppressed) for p in plan(rules, {})] == [
        ("chat", "receiver chat is not configured: set SLACK_WEBHOOK_URL"),
        ("hook", None),
    ]


def test_an_alert_without_a_route_is_recorded_with_the_reason() -> None:
    rules = config({"name": "r", "match": {"severity": "info"}, "receivers": ["mail"]})
    planned = plan(rules, {})
    assert [(p.channel, p.suppressed) for p in planned] == [("none", "no route matches this alert")]


def test_a_receiver_without_its_variable_is_suppressed_with_the_reason() -> None:
    rules = config({"name": "r", "receivers": ["mail", "chat", "hook"]})
    planned = plan(rules, {"SMTP_HOST": "mail.example"})
    assert {p.target: p.suppressed for p in planned} == {
        "mail": None,
        "chat": "receiver chat is not configured: set SLACK_WEBHOOK_URL",
        "hook": None,
    }


def test_ids_are_the_same_for_the_same_event_and_differ_between_targets() -> None:
    rules = config({"name": "r", "receivers": ["mail", "chat", "hook"]})
    # A subscription may have a receiver's name; it is another target all the same.
    event = new_event(firing(), source="t")
    hook = subscribed(event, None, [Wish("id-1", "hook", ("lab.alert.*",))])
    routing = Routing(rules, rules.targets({}))
    first, second = (routing.plan(event, firing(), AROUND, Standing("f")).deliveries for _ in range(2))
    assert [p.id for p in first] == [p.id for p in second]
    assert len({p.id for p in (*first, *hook)}) == 4


def test_nobody_wants_an_event_that_is_no_alert() -> None:
    event = Event(id="1", source="t", type="lab.run.started.v1", time="2026-11-24T00:00:00Z")
    assert subscribed(event, None, [Wish("1", "w", ("lab.file.*",))]) == []


def test_a_disabled_subscription_is_recorded() -> None:
    event = Event(id="1", source="t", type="lab.run.started.v1", time="2026-11-24T00:00:00Z")
    planned = subscribed(event, None, [Wish("1", "w", ("lab.run.*",), "subscription w is disabled: x")])
    assert [p.suppressed for p in planned] == ["subscription w is disabled: x"]


def test_patterns_of_types() -> None:
    assert wants(["lab.run.*"], "lab.run.completed.v1")
    assert wants(["*"], "anything")
    assert not wants(["lab.run.completed.v1"], "lab.run.completed.v2")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("routes: []", "receivers: is missing; add it"),
        ("receivers: [", "is not YAML"),
        ("receivers: []\nroutes: [{name: r, receivers: [ghost]}]", "route r names the unknown receiver ghost"),
        ("receivers: [{name: m, channel: email}]\nroutes: []", "needs `to` or `to_env`"),
        ("receivers: [{name: m, channel: pager}]\nroutes: []", "receivers.0"),
        ("receivers: []\nroutes: []\nsilence: []", ":3: silence: there is no such field"),
        (
            "receivers: [{name: m, channel: email, to: [a@b.c]}, {name: m, channel: email, to: [a@b.c]}]\nroutes: []",
            "the receiver name m is used twice",
        ),
        (FILE + "  - name: r\n    match:\n      severity: urgent\n    receivers: m", ":9: routes.0.match.severity"),
        (
            FILE + "  - {name: r, receivers: m, mute: night}",
            ":7: routes.0.mute: route r names the unknown time",
        ),
        (FILE + "  - {name: r}", ":7: routes.0: route r has no receivers"),
        (FILE + "  - {name: r, receivers: m, name: s}", ":7: name: stands twice"),
        (FILE + "  - {name: r, receivers: m, routes: [{name: r}]}", "the route name r is used twice"),
        (FILE + "  []\ninhibit: [{name: i, source: {}, target: {rule: x}}]", "inhibit.0: needs something to match"),
        (
            FILE + "  - {name: r, receivers: m, repeat_interval: soon}",
            "routes.0.repeat_interval: must be a length of time",
        ),
        (
            FILE + "  - {name: r, receivers: m, escalate: [{after: 5m, receivers: x}]}",
            "escalates to the unknown receiver x",
        ),
        (FILE.replace("channel: email", "channel: email\n    fallback: m") + "  []", "goes round in a ring: m → m"),
        (FILE.replace("channel: email", "channel: email\n    fallback: x") + "  []", "names the unknown receiver x"),
        (FILE.replace("channel: email", "channel: email\n    rate: fast") + "  []", "must be a rate such as 1/s"),
        ("receivers: []\nroutes: []\n---\nroutes: []", "must be one YAML document, found 2"),
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
