"""What a look announces, given what is known: transitions, reminders, and ids that a repeat has too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flows.trace import Trace
from flows.watch.announcements import changed, sampled
from flows.watch.changes import GONE, Change, Kind, Known, changes
from flows.watch.findings import Check, Measurement, Subject, one_line
from schemas.catalog import parse_data

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(minutes=5)
MLFLOW = Subject("mlflow", "health")
FAILS, PASSES = Check(MLFLOW, "no answer within 3 s"), Check(MLFLOW)


def found(
    *checks: Check, known: dict[Subject, Known] | None = None, now: datetime = NOW, unseen: frozenset[str] = frozenset()
) -> list[Change]:
    return changes(checks, known or {}, now, unseen=unseen)


def test_a_check_that_begins_to_fail_is_announced_since_now() -> None:
    began = Change(Kind.DEGRADED, MLFLOW, "no answer within 3 s", NOW)
    assert found(FAILS) == [began]
    assert found(FAILS, known={MLFLOW: Known(False, EARLIER, EARLIER)}) == [began]


def test_what_is_known_is_not_announced_again() -> None:
    assert found(FAILS, known={MLFLOW: Known(True, EARLIER, EARLIER)}) == []
    assert found(PASSES) == []
    assert found(PASSES, known={MLFLOW: Known(False, EARLIER, EARLIER)}) == []


def test_a_check_that_passes_again_ends_the_trouble_since_it_began() -> None:
    [change] = found(PASSES, known={MLFLOW: Known(True, EARLIER, NOW)})
    assert (change.kind, change.since) == (Kind.RECOVERED, EARLIER)
    # Also what somebody else has announced about it.
    assert len(found(PASSES, known={MLFLOW: Known(True, EARLIER, NOW, ours=False)})) == 1


def test_a_trouble_that_lasts_is_told_again_each_day_before_the_topic_forgets_it() -> None:
    known = {MLFLOW: Known(True, EARLIER, EARLIER)}
    assert found(FAILS, known=known, now=EARLIER + timedelta(hours=23)) == []
    [second] = found(FAILS, known=known, now=EARLIER + timedelta(hours=24))
    assert (second.kind, second.since, second.reminder) == (Kind.STILL_DEGRADED, EARLIER, 1)
    again = {MLFLOW: Known(True, EARLIER, EARLIER + timedelta(hours=24))}
    [third] = found(FAILS, known=again, now=EARLIER + timedelta(hours=48))
    assert third.since == EARLIER
    assert len({second.identity, third.identity, Change(Kind.DEGRADED, MLFLOW, "", EARLIER).identity}) == 3


def test_a_subject_that_is_gone_ends_its_trouble_unless_it_could_not_be_seen() -> None:
    table = Subject("lake", "silver/stocks")
    known = {table: Known(True, EARLIER, EARLIER)}
    [change] = found(PASSES, known=known)
    assert (change.kind, change.subject, change.reason) == (Kind.RECOVERED, table, GONE)
    assert found(PASSES, known=known, unseen=frozenset({"lake"})) == []
    assert found(PASSES, known={table: Known(True, EARLIER, EARLIER, ours=False)}) == [], "another's to end"
    assert found(PASSES, known={table: Known(False, EARLIER, EARLIER)}) == []


def test_the_ids_of_events_follow_from_the_trouble_and_not_from_the_run() -> None:
    brasilia = EARLIER.astimezone(datetime.fromisoformat("2026-01-01T00:00:00-03:00").tzinfo)
    first, again = (
        changed(Trace(run), Change(Kind.DEGRADED, MLFLOW, "x", since), NOW)
        for run, since in (("run-1", EARLIER), ("run-2", brasilia))
    )
    assert first.id == again.id
    others = [
        Change(Kind.RECOVERED, MLFLOW, "x", EARLIER),
        Change(Kind.DEGRADED, MLFLOW, "x", NOW),
        Change(Kind.DEGRADED, Subject("mlflow", "write"), "x", EARLIER),
        Change(Kind.DEGRADED, Subject("prefect", "health"), "x", EARLIER),
        Change(Kind.STILL_DEGRADED, MLFLOW, "x", EARLIER, 1),
    ]
    assert len({first.id, *(changed(Trace("run-1"), change, NOW).id for change in others)}) == 6


def test_events_say_what_was_seen_and_when() -> None:
    event = changed(Trace("r", "cause", "chain"), Change(Kind.DEGRADED, MLFLOW, "no answer", EARLIER), NOW)
    assert (event.time, event.subject, event.causationid) == (NOW, "mlflow", "cause")
    assert parse_data(event).model_dump() == {
        "service": "mlflow",
        "check": "health",
        "reason": "no answer",
        "since": EARLIER,
    }
    lag = sampled(Trace("r"), Measurement("lab.runs", "topic.lag", 3, "1", "monitor"), NOW)
    assert parse_data(lag).model_dump() == {
        "of": "lab.runs",
        "name": "topic.lag",
        "value": 3.0,
        "unit": "1",
        "labels": {"group": "monitor"},
    }
    other = sampled(Trace("r"), Measurement("lab.runs", "topic.lag", 3, "1", "notifier"), NOW)
    assert (
        len({lag.id, other.id, sampled(Trace("q"), Measurement("lab.runs", "topic.lag", 3, "1", "monitor"), NOW).id})
        == 3
    )


def test_a_reason_is_one_printable_line() -> None:
    # Postgres stores no NUL: an alert with one would end in the dead letters.
    assert one_line(ValueError("unexpected '\0'\nin line 1\x1b[0m")) == "ValueError: unexpected ' ' in line 1 [0m"
    assert len(one_line("x" * 1000)) == 300
