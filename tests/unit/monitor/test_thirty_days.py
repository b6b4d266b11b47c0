"""Thirty days of outages, heard in any batches, with repeats at any later time: the alerts of the known list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from datalab.runtime.settings import PROJECT_ROOT
from schemas.envelope import Event
from services.monitor.advance import Bearing, Trouble, advance, case_of
from services.monitor.criteria import BAD, GOOD
from services.monitor.rule_file import read_rules
from tests.support.monitor_events import degraded, recovered

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
SETTLE_S = 5.0
[RULE] = [r for r in read_rules(PROJECT_ROOT / "config" / "alerts.yaml").rules if r.name == "resource-unavailable"]

# Seconds until the next outage and its length; at most thirty days in all.
OUTAGES = st.lists(st.tuples(st.integers(6, 60_000), st.integers(1, 20_000)), min_size=1, max_size=30)


class Lab:
    """The monitor's decisions on one trouble, as batches and the look each second make them."""

    def __init__(self) -> None:
        self.trouble, self.began, self.over = Trouble(), list[str](), list[str]()

    def take(self, event: Event, now: datetime | None = None) -> None:
        verdict = GOOD if event.type in RULE.resolved_by else BAD
        case = case_of(Bearing(RULE, event, verdict, event.time, SETTLE_S))
        step = advance(case, self.trouble, seen=case.episode in self.began, now=now)
        self.trouble = step.trouble
        if step.ended is not None:
            self.over.append(step.ended[1].id)
        if step.begins:
            self.began.append(case.episode)

    def look(self, now: datetime) -> None:
        if self.trouble.held is not None:
            self.take(self.trouble.held, now)


def known_list(outages: list[tuple[int, int]]) -> list[tuple[Event, Event]]:
    """When each outage began and ended."""
    at, known = BEGIN, []
    for gap, length in outages:
        at += timedelta(seconds=gap)
        down = degraded("s3", since=at).model_copy(update={"time": at})
        at += timedelta(seconds=length)
        known.append((down, recovered("s3").model_copy(update={"time": at})))
    return known


@settings(max_examples=150, deadline=None)
@given(outages=OUTAGES, data=st.data())
def test_no_alert_is_missed_or_doubled(outages: list[tuple[int, int]], data: st.DataObject) -> None:
    known = known_list(outages)
    events = [event for pair in known for event in pair]
    lab, heard = Lab(), list[Event]()
    for event in events:
        lab.take(event)
        heard.append(event)
        for again in data.draw(st.lists(st.sampled_from(heard), max_size=3), "repeats"):
            lab.take(again)
        if data.draw(st.booleans(), "between two batches"):
            lab.look(event.time)
    lab.look(events[-1].time + timedelta(minutes=2))

    assert len(lab.began) == len(set(lab.began)) == len(known)
    assert lab.over == [up.id for _, up in known]
    assert lab.trouble.condition.open_episode is None
