"""Page tokens: those that were given out work, all others are the client's mistake and no fault of ours."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from datalab.runtime.web import Problem
from services.notifier.api.pages import position_of, token_for

AT = datetime(2026, 1, 1, tzinfo=UTC)


def token(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def test_a_token_reads_back_and_none_is_the_beginning() -> None:
    assert position_of(token_for(AT, "d1")) == (AT, "d1")
    assert position_of(None) is None


def test_a_time_without_zone_becomes_one_that_the_database_can_compare() -> None:
    position = position_of(token(["2026-01-01T00:00:00", "d1"]))
    assert position is not None
    assert position[0].tzinfo is UTC


@pytest.mark.parametrize(
    "bad", ["x", "é", token(5), token(["a"]), token([5, "d1"]), token(["0001-01-01T00:00+23:00", "d"])]
)
def test_a_strange_token_is_refused(bad: str) -> None:
    with pytest.raises(Problem) as raised:
        position_of(bad)
    assert raised.value.status == 400
