"""How many times more or less than usual arrived."""

from __future__ import annotations

import pytest

from flows.watch.volumes import factors


def factor(today: int, lately: int, *before: int) -> tuple[float, dict[str, str]] | None:
    found = list(factors({"stocks": today}, {"stocks": lately}, [{"stocks": rows} for rows in before]))
    return (found[0].value, dict(found[0].labels)) if found else None


@pytest.mark.parametrize(
    ("today", "lately", "expected"),
    [
        pytest.param(100, 100, 1.0, id="as usual"),
        pytest.param(300, 300, 3.0, id="three times as much"),
        pytest.param(50, 50, 2.0, id="half"),
        pytest.param(0, 0, 1000.0, id="nothing"),
        pytest.param(0, 100, 1.0, id="some hours late"),
        pytest.param(100, 200, 1.0, id="yesterday's and today's"),
    ],
)
def test_the_factor_says_how_far_off_it_is_in_either_direction(today: int, lately: int, expected: float) -> None:
    found = factor(today, lately, 100, 90, 110, 100)
    assert found is not None
    assert found[0] == pytest.approx(expected)


def test_what_was_seen_and_what_is_usual_are_told() -> None:
    assert factor(40, 50, 100, 100, 500, 0) == (2.0, {"observed": "50", "usual": "100"})


def test_without_three_weeks_of_it_nothing_is_usual() -> None:
    assert factor(500, 500, 100, 100, 0, 0) is None
    assert list(factors({"new": 5}, {"new": 5}, [{}, {}, {}, {}])) == []
