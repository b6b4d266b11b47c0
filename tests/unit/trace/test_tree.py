"""The tree of what an event caused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from datalab.trace.tree import Delivery, TraceNode, Trigger, build_trace, render
from schemas.envelope import Event

START = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)


def event(id_: str, second: int, cause: str | None = None, **data: Any) -> Event:
    return Event(
        id=id_, source="test", type=f"lab.{id_}.v1", subject="s", time=START + timedelta(seconds=second),
        data=data, causationid=cause, correlationid="file",
    )  # fmt: skip


def events(*given: Event) -> dict[str, tuple[str, Event]]:
    return {each.id: (f"lab.x[0]@{index}", each) for index, each in enumerate(given)}


TRIGGER = Trigger("t1", "stocks", "file", "flow/deployment", "created", None, "run-1", "COMPLETED", START)
DELIVERY = Delivery("d1", "alert", "slack", "team", "delivered", None, 1, 200, START + timedelta(seconds=9))


def shape(nodes: list[TraceNode]) -> list[Any]:
    return [(node.id, shape(node.children)) if node.children else node.id for node in nodes]


def test_the_whole_story_is_one_tree() -> None:
    roots = build_trace(
        events(
            event("delivered", 10, "alert", delivery_id="d1"),
            event("completed", 7, "file", run_id="run-1"),
            event("quality", 5, "file", run_id="run-1"),
            event("alert", 8, "quality"),
            event("file", 0),
        ),
        [TRIGGER],
        [DELIVERY],
    )

    story = [("file", [("t1", [("quality", [("alert", [("d1", ["delivered"])])]), "completed"])])]
    assert shape(roots) == story


def test_what_has_no_known_cause_is_a_root_of_its_own() -> None:
    roots = build_trace(events(event("late", 5, "expired"), event("early", 1)), [TRIGGER], [])

    assert shape(roots) == ["t1", "early", "late"]


def test_a_circle_of_causes_is_cut() -> None:
    circle = [event("a", 1, "b"), event("b", 2, "a"), event("self", 3, "self"), event("below", 4, "a")]

    assert shape(build_trace(events(*circle), [], [])) == [("a", ["below"]), "b", "self"]


def test_a_run_that_is_its_own_cause_is_cut() -> None:
    trigger = Trigger("t1", "again", "done", "flow/deployment", "created", None, "run-1", None, START)

    assert {root.id for root in build_trace(events(event("done", 1, run_id="run-1")), [trigger], [])} == {"t1", "done"}


def test_the_lines_show_depth_outcome_and_what_was_asked_for() -> None:
    roots = build_trace(events(event("file", 0), event("quality", 5, "file"), event("alert", 8, "quality")), [], [])

    lines = [line.split("  ", 1)[1] for line in render(roots, "alert")]
    assert lines[0].startswith("lab.file.v1  s  lab.x[0]@0  file")
    assert lines[-1].endswith("alert  ◀")
    assert [line.count("◀") for line in lines] == [0, 0, 1]


def test_a_failed_delivery_says_why() -> None:
    dead = Delivery("d1", "file", "email", "on-call", "dead", "550 no such mailbox", 8, None, START)
    (root,) = build_trace(events(event("file", 0)), [], [dead])

    assert root.children[0].label == "delivery to email on-call  dead (550 no such mailbox)  8 attempts"
    assert root.to_json()["children"][0]["status"] == "dead"
