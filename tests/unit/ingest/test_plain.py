"""The short way takes most events, and none that the long way would refuse or store in another form."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datalab.runtime.web import Problem
from services.ingest.acceptance import FUTURE_LIMIT, Draft, _accept_any
from services.ingest.plain import plain_record

NOW = datetime(2026, 12, 1, tzinfo=UTC)
EXAMPLES = sorted((Path(__file__).parents[3] / "schemas" / "examples").glob("*/*.json"))
SOUND: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e1",
    "source": "test",
    "type": "lab.metric.sampled.v1",
    "time": "2026-03-02T01:02:03.5-03:00",
    "data": {"of": "x", "name": "rows", "value": 1, "unit": "1"},
}
ODD = st.one_of(
    st.none(), st.integers(), st.booleans(), st.text(max_size=5), st.just("\x00"), st.just("x" * 2049), st.just([]),
    st.sampled_from(["1.0", "application/json", "text/json", "2026-03-02T01:02:03Z", "2026-03-02", "2027-01-01T00:00Z",
                     "lab.run.started.v1", "my.type", {"of": "", "name": "n", "value": 1, "unit": "1"},
                     {"of": "x" * 3000, "name": "n", "value": 10**30, "unit": "1"}]),
)  # fmt: skip
NAMES = ["specversion", "id", "source", "type", "time", "datacontenttype", "data", "subject", "correlationid",
         "causationid", "traceparent", "dataschema", "myextension", "data_base64", "Wrong"]  # fmt: skip


def by_the_long_way(attributes: dict[str, Any]) -> Draft | None:
    try:
        return _accept_any(attributes, NOW, {})
    except Problem:
        return None


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_examples_go_the_short_way(path: Path) -> None:
    attributes = json.loads(path.read_text("utf-8"))
    draft = by_the_long_way(attributes)
    assert draft is not None
    assert plain_record(attributes, NOW + FUTURE_LIMIT) == (draft.topic, draft.record)


@settings(max_examples=2000, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), ODD, max_size=3), st.sets(st.sampled_from(sorted(SOUND)), max_size=1))
def test_what_goes_the_short_way_comes_out_as_by_the_long_one(changed: dict[str, Any], left_out: set[str]) -> None:
    attributes = {name: value for name, value in {**SOUND, **changed}.items() if name not in left_out}
    short = plain_record(attributes, NOW + FUTURE_LIMIT)
    if short is not None:
        draft = by_the_long_way(attributes)
        assert draft is not None, attributes
        assert short == (draft.topic, draft.record)


@pytest.mark.parametrize(
    "time",
    ["2026-03-02T01:02:03Z", "2026-03-02T01:02:03.000000Z", "2026-03-02T01:02:03.5Z", "2026-03-02T01:02:03.000500Z",
     "2026-03-02T01:02:03.123456Z", "2026-03-02T01:02:03+00:00", "2026-03-02T01:02:03-00:00"],
)  # fmt: skip
def test_a_time_goes_the_short_way_and_is_written_as_by_the_long_one(time: str) -> None:
    attributes = {**SOUND, "time": time}
    draft = by_the_long_way(attributes)
    assert draft is not None
    assert plain_record(attributes, NOW + FUTURE_LIMIT) == (draft.topic, draft.record)


@pytest.mark.parametrize("time", ["2026-03-02 01:02:03Z", "20260302T010203Z", "2026-W10-1T01:02:03Z"])
def test_a_time_of_another_form_is_never_written_as_it_came(time: str) -> None:
    short = plain_record({**SOUND, "time": time}, NOW + FUTURE_LIMIT)
    assert short is None or ("ce_time", b"2026-03-02T01:02:03Z") in short[1].headers
