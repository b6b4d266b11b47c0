"""A chain as steps: who caused what, what it came to, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from datalab.trace.tree import Trigger as TreeTrigger
from datalab.trace.tree import build_trace
from schemas.catalog import EVENT_TYPES
from schemas.envelope import Event
from services.dashboard.answers.tracing import Chain, Trigger
from services.dashboard.language import phrases
from services.dashboard.views.charts import timeline
from services.dashboard.views.event_words import says
from services.dashboard.views.steps import counts, duration_s, indented, steps
from tests.unit.dashboard.answers import HOSTILE, TRIGGER

EN = phrases("en", ZoneInfo("UTC"))
START = datetime(2026, 3, 2, 12, tzinfo=UTC)
FILE = {"name": "stocks.csv", "size_bytes": 2048, "dataset": "stocks"}


def event(id_: str, type_: str, second: float, cause: str | None = None, **data: Any) -> Event:
    return Event(id=id_, source="t", type=type_, subject=f"subject of {id_}", time=START + timedelta(seconds=second),
                 data=data, causationid=cause, correlationid="event-0")  # fmt: skip


def chain(*events: Event, trigger: dict[str, Any] | None = None, asked: str = "event-0") -> Chain:
    found = {e.id: ("lab.x[0]@0", e) for e in events}
    triggers = [Trigger.model_validate(trigger)] if trigger else []
    known = [TreeTrigger(**{name: getattr(t, name) for name in TreeTrigger.__dataclass_fields__}) for t in triggers]
    return Chain(asked, "event-0", build_trace(found, known, []), {e.id: e for e in events},
                 {t.id: t for t in triggers}, {})  # fmt: skip


STORY = chain(
    event("event-0", "lab.file.arrived.v1", 0, **FILE),
    event("quality", "lab.quality.failed.v1", 5, "event-0", run_id="run-1", dataset="stocks", rows_failed=37,
          rows_checked=12154),
    event("alert", "lab.alert.firing.v1", 6, "quality", severity="error", summary="37 rows"),
    event("done", "lab.run.completed.v1", 9, "event-0", run_id="run-1", run_name="otter", duration_s=7.5),
    trigger=TRIGGER,
)  # fmt: skip


def test_the_story_from_the_file_to_the_alert() -> None:
    found = steps(STORY, EN)

    assert [(step.depth, step.kind, step.what, step.says) for step in found] == [
        (0, "event", "file arrived", "stocks.csv · 2 KiB · stocks"),
        (1, "run", "stocks-file-arrived → medallion-etl-daily", "Completed"),
        (2, "event", "quality failed", "stocks: 37 of 12,154 rows broke a rule"),
        (3, "alert", "alert fires", "error · 37 rows"),
        (2, "event", "run completed", "otter · 7.50 s"),
    ]
    assert [step.tone for step in found] == ["plain", "good", "bad", "bad", "good"]
    assert counts(found) == {"event": 3, "run": 1, "alert": 1}
    assert duration_s(found) == 9.0


def test_depth_is_shown_and_what_was_asked_for_is_marked() -> None:
    shown = [indented(step) for step in steps(STORY, EN)]

    assert shown[0] == "◇ file arrived  ◀"
    assert shown[2] == "\u2003└ ◇ quality failed"


def test_a_run_that_is_not_there_says_why() -> None:
    dead = {**TRIGGER, "status": "dead", "run_state": None, "flow_run_id": None, "run_url": None, "states": [],
            "reason": "no deployment x"}  # fmt: skip
    (step,) = steps(chain(trigger=dead), EN)

    assert (step.says, step.tone, step.link, step.until) == ("no run: no deployment x", "bad", None, None)


def test_a_link_that_is_none_is_not_followed() -> None:
    (step,) = steps(chain(trigger={**TRIGGER, "run_url": "javascript:alert(1)"}), EN)

    assert step.link is None


def test_nothing_known_is_no_step() -> None:
    assert steps(chain(), EN) == []
    assert duration_s([]) == 0.0


@pytest.mark.parametrize("type_", [*EVENT_TYPES, "my.own.v1", "odd", "..", "lab.file."])
@pytest.mark.parametrize("data", [{}, {"name": 5}, {"rows_failed": "x", "dataset": None}, {"reason": HOSTILE}])
def test_any_payload_of_any_type_can_be_shown(type_: str, data: dict[str, Any]) -> None:
    assert says(event("odd", type_, 0, **data), EN) == "subject of odd"


def test_a_replay_of_the_quarantine_says_that_it_is_one() -> None:
    again = event("again", "lab.quality.passed.v1", 0, dataset="stocks", rows_failed=0, rows_checked=12, replay=True)
    assert says(again, EN) == "stocks, judged again: 0 of 12 records in quarantine broke a rule"


def test_what_an_event_says_stays_on_one_line() -> None:
    (step,) = steps(chain(event("event-0", "my.own.v1", 0).model_copy(update={"subject": "a\n# b"})), EN)

    assert step.says == "a # b"


def test_the_timeline_has_a_bar_for_the_run_and_a_line_for_each_step() -> None:
    spec = timeline(steps(STORY, EN), EN).to_dict()
    rows = next(iter(spec["datasets"].values())) if "datasets" in spec else spec["data"]["values"]

    assert [row["line"] for row in rows] == [0, 1, 2, 3, 4]
    assert (rows[1]["start"], rows[1]["end"]) == (0.0, 9.0)
    assert rows[2]["start"] == rows[2]["end"] == 5.0
