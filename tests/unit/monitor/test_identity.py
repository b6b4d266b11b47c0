"""Fingerprints and episodes: the same for the same trouble, for ever; different for any other."""

from __future__ import annotations

from schemas.runs import RunFailed
from services.monitor.identity import episode_id, fingerprint, fingerprint_of, labels_of
from services.monitor.rules import AlertRule
from tests.support.monitor_events import quality_failed, run_event

RULE = AlertRule(
    name="flow-failed", on=("lab.run.failed.v1",), labels=("flow", "deployment"), severity="critical", summary="s"
)


def test_a_fingerprint_is_the_same_in_every_process_and_release() -> None:
    # Written down on purpose: another value would open a second alert for each one that is open at an upgrade.
    assert fingerprint("data-quality", {"dataset": "stocks"}) == "c1ff61041431eb7c1a66618616f3d358"


def test_the_order_of_labels_does_not_matter() -> None:
    assert fingerprint("r", {"a": "1", "b": "2"}) == fingerprint("r", {"b": "2", "a": "1"})


def test_rule_names_and_values_matter() -> None:
    prints = {
        fingerprint("r", {"a": "1"}),
        fingerprint("q", {"a": "1"}),
        fingerprint("r", {"a": "2"}),
        fingerprint("r", {"b": "1"}),
        fingerprint("r", {"a": '1","b":"2'}),
        fingerprint("r", {"a": "1", "b": "2"}),
    }
    assert len(prints) == 6


def test_labels_come_from_the_payload() -> None:
    assert labels_of(RULE, run_event(RunFailed)) == {"flow": "etl", "deployment": "etl/daily"}


def test_a_run_without_deployment_has_no_such_label() -> None:
    assert labels_of(RULE, run_event(RunFailed, deployment=None)) == {"flow": "etl"}


def test_the_short_way_to_a_fingerprint_gives_the_same() -> None:
    rule = RULE.model_copy(update={"labels": ("flow", "deployment", "attempts")})
    # 1, 1.0 and True are equal to Python, and other labels.
    for attempts in (None, 1, 1.0, True, [1], "1"):
        for deployment in (None, "etl/daily"):
            event = run_event(RunFailed, deployment=deployment)
            event = event.model_copy(update={"data": {**event.data, "attempts": attempts}})
            assert fingerprint_of(rule, event) == fingerprint(rule.name, labels_of(rule, event))


def test_an_episode_belongs_to_its_cause() -> None:
    first, second = quality_failed("stocks"), quality_failed("stocks")
    assert episode_id("f", first.id) == episode_id("f", first.id)
    assert episode_id("f", first.id) != episode_id("f", second.id)
