"""Page tokens: they come back as they went out, and nothing else is taken for one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from datalab.runtime.web import Problem
from services.monitor.paging import Place, from_token, to_token


def test_a_token_leads_back_to_its_place() -> None:
    place = Place(datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC), "añ/b")
    assert from_token(to_token(place)) == place


@pytest.mark.parametrize(
    "token", ["x", "é", "AAAA", base64.urlsafe_b64encode(b'["2026-01-01T00:00:00", "a"]').decode()]
)
def test_what_is_no_token_is_a_problem_of_the_client(token: str) -> None:
    with pytest.raises(Problem) as caught:
        from_token(token)
    assert caught.value.status == 400
