"""When a model is trained and which one becomes champion: each case with its reason."""

from __future__ import annotations

import pytest

from flows.ml.decisions import Champion, Known, judge, plan_training

TRAINED = Known(has_champion=True, last_version="3")


@pytest.mark.parametrize(
    ("new", "known", "too_little", "train", "reason"),
    [
        (586, Known(), None, True, "586 of 586 rows are new; there is no champion yet"),
        (586, Known(), "too little to learn from: 3 rows", False, "too little to learn from: 3 rows"),
        (49, TRAINED, None, False, "49 of 586 rows are new since version 3 was trained; 50 are asked for"),
        (50, TRAINED, None, True, "50 of 586 rows are new since version 3 was trained"),
        (
            0,
            Known(last_version="3"),
            None,
            True,
            "0 of 586 rows are new since version 3 was trained; there is no",
        ),
        (0, Known(True, "3", interrupted=True), None, True, "a training on these rows was interrupted and goes on"),
        (60, Known(True, "3", same_version="2"), None, False, "version 2 was trained on exactly these, by this code"),
    ],
)
def test_whether_to_train(new: int, known: Known, too_little: str | None, train: bool, reason: str) -> None:
    plan = plan_training(586, new, 50, too_little, known)
    assert (plan.train, plan.rows, plan.new_rows) == (train, 586, new)
    assert reason in plan.reason


def test_without_a_least_number_of_rows_the_same_data_are_not_learnt_twice() -> None:
    plan = plan_training(586, 0, 0, None, Known(True, "3", same_version="3"))
    assert not plan.train
    assert "version 3 was trained on exactly these" in plan.reason
    assert plan_training(586, 0, 0, None, TRAINED).train  # the same rows by other code


@pytest.mark.parametrize(
    ("rmse", "champion", "promoted", "reason"),
    [
        (8.0, None, True, "ridge becomes the first champion; its RMSE of 8.000 is 3.0% below that of the naive"),
        (
            9.8,
            Champion("1", 10.0),
            True,
            "ridge is 2.0% better than the champion (version 1, RMSE 10.000) on the",
        ),
        (9.95, Champion("1", 10.0), False, "0.5% better than the champion"),
        (10.5, Champion("1", 10.0), False, "5.0% worse than the champion"),
        (9.8, Champion("1", 10.0, knew_the_test=True), True, "some of which the champion was trained on"),
        (9.8, Champion("1", None, misfit="needs inputs that are gone"), True, "version 1, which needs inputs that are"),
        (0.0, Champion("1", 0.0), False, "0.0% worse than the champion"),
    ],
)
def test_who_becomes_champion(rmse: float, champion: Champion | None, promoted: bool, reason: str) -> None:
    verdict = judge("ridge", {"rmse": rmse, "skill": 0.03}, 90, champion, threshold=0.01)
    assert verdict.promoted is promoted
    assert reason in verdict.reason
    assert ("1.0% are asked for" in verdict.reason) is not promoted


def test_an_equal_model_replaces_nobody_even_without_a_threshold() -> None:
    assert not judge("ridge", {"rmse": 10.0, "skill": 0.0}, 90, Champion("1", 10.0), threshold=0).promoted


def test_a_model_without_skill_is_said_to_have_none() -> None:
    verdict = judge("ridge", {"rmse": 10.0, "skill": -0.02}, 90, None, threshold=0.01)
    assert "no better than that of the naive forecast (-2.0%)" in verdict.reason
