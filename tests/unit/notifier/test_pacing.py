"""How a target's queue moves on: by its bucket, and by a digest where the oldest has waited too long."""

from __future__ import annotations

import pytest

from schemas.envelope import Event, new_event
from services.notifier.bundles import SHOWN_AT_MOST, bundle
from services.notifier.delivery import Target
from services.notifier.dispatch.pacing import Turn, turn
from tests.unit.notifier.alerts import firing

SLACK = Target("chat", "slack", rate_s=1.0, burst=1)
TEAMS = Target("team", "teams", rate_s=4.0, burst=4)


@pytest.mark.parametrize(
    ("target", "tokens", "elapsed_s", "waiting", "oldest_s", "expected"),
    [
        (SLACK, 1.0, 0.0, 3, 0.0, Turn(1.0, 1, digest=False)),
        (SLACK, 0.0, 0.5, 3, 1.0, Turn(0.5, 0, digest=False)),
        (SLACK, 0.0, 3600.0, 3, 1.0, Turn(1.0, 1, digest=False)),  # a long rest saves up no more than the burst
        (SLACK, 0.5, -10.0, 3, 1.0, Turn(0.5, 0, digest=False)),  # a clock that goes back takes nothing
        (SLACK, 1.0, 0.0, 50, 61.0, Turn(1.0, 0, digest=True)),
        (SLACK, 1.0, 0.0, 1, 61.0, Turn(1.0, 1, digest=False)),  # one message needs no digest
        (SLACK, 0.2, 0.0, 50, 61.0, Turn(0.2, 0, digest=False)),  # not before there is a token for it
        (TEAMS, 4.0, 0.0, 50, 61.0, Turn(4.0, 3, digest=True)),
        (Target("k", "kafka", rate_s=1.0), 1.0, 0.0, 50, 61.0, Turn(1.0, 1, digest=False)),  # programs get no digest
        (Target("m", "webhook"), 0.0, 0.0, 9, 0.0, Turn(0.0, 9, digest=False)),
    ],
)
def test_a_turn(target: Target, tokens: float, elapsed_s: float, waiting: int, oldest_s: float, expected: Turn) -> None:
    assert turn(target, tokens, elapsed_s, waiting, oldest_s) == expected


@pytest.mark.parametrize(
    ("target", "under_way", "messages"), [(SLACK, 1, 0), (SLACK, 2, 0), (TEAMS, 3, 1), (TEAMS, 0, 4)]
)
def test_no_more_are_under_way_than_may_be_sent_at_once(target: Target, under_way: int, messages: int) -> None:
    assert turn(target, 4.0, 0.0, 50, 1.0, under_way).messages == messages


def event(fingerprint: str, severity: str) -> Event:
    return new_event(firing(fingerprint=fingerprint, severity=severity), source="t")


def test_a_bundle_counts_all_and_shows_the_worst_first() -> None:
    events = [event(f"i{number}", "info") for number in range(100)] + [event("w", "warning"), event("c", "critical")]
    told = bundle("digest", events)
    assert told.counts == {"critical": 1, "warning": 1, "info": 100}
    assert told.total == 102
    assert len(told.alerts) == SHOWN_AT_MOST
    assert [each.data["severity"] for each in told.alerts[:3]] == ["critical", "warning", "info"]


def test_of_each_alert_the_last_event_counts() -> None:
    told = bundle("group", [event("a", "error"), event("a", "critical")])
    assert (told.total, told.counts) == (1, {"critical": 1})
