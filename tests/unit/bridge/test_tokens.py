"""Page tokens of triggers: what the database cannot compare is refused or brought into a form that it can."""

from __future__ import annotations

import base64
import json
from datetime import UTC

import pytest

from services.bridge.ledger import _from_token


def token(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def test_a_time_without_zone_becomes_one_that_the_database_can_compare() -> None:
    assert _from_token(token(["2026-01-01T00:00:00", "t1"]))[0].tzinfo is UTC


@pytest.mark.parametrize("bad", ["x", token(5), token(["a"]), token([5, "t1"]), token(["0001-01-01T00:00+23:00", "t"])])
def test_a_strange_token_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="page_token"):
        _from_token(bad)
