"""The algorithms: enough of them, the same result each time, and scores that tell a wrong value from a real month."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flows.ml import evaluation
from flows.ml.candidates import candidates, parameters
from flows.ml.features import Split, feature_names, learnable, learning_table, newest, split_by_time
from flows.ml.scoring import Score, Scoring, score_lines
from flows.ml.training import fit_and_measure
from tests.support.monthly_gold import monthly_gold, real_prices, with_newest_month_times
from tests.unit.flows.test_ml_features import DEFINITION, canonical

NAMES = feature_names(DEFINITION)


@pytest.fixture(scope="module")
def prices() -> pd.DataFrame:
    return real_prices()


@pytest.fixture(scope="module")
def split(prices: pd.DataFrame) -> Split:
    return split_by_time(learnable(learning_table(canonical(monthly_gold(prices)), DEFINITION)))


def test_there_are_at_least_four_algorithms_with_parameters() -> None:
    algorithms = {str(parameters(pipeline)["algorithm"]) for pipeline in candidates().values()}
    assert len(algorithms) >= 4


def test_the_same_data_give_the_same_model(split: Split) -> None:
    for name in candidates():
        first, second = (candidates()[name] for _ in range(2))
        assert fit_and_measure(first, split, NAMES) == fit_and_measure(second, split, NAMES), name
        np.testing.assert_array_equal(first.predict(split.test[NAMES]), second.predict(split.test[NAMES]))


def test_metrics_are_those_of_the_textbook() -> None:
    metrics = evaluation.measure([1.0, -1.0, 3.0], [0.0, -1.0, 1.0])
    assert metrics == pytest.approx({"mae": 1.0, "rmse": np.sqrt(5 / 3), "r2": 1 - 5 / 8, "skill": 1 - np.sqrt(5 / 11)})
    assert evaluation.measure([2.0, 2.0], evaluation.baseline([2.0, 2.0])) == {
        "mae": 2.0,
        "rmse": 2.0,
        "r2": 0.0,
        "skill": 0.0,
    }
    assert evaluation.spread([1.0, 2.0], [1.0, 2.0]) > 0


def scores(prices: pd.DataFrame, split: Split, name: str) -> dict[str, Score]:
    pipeline = candidates()[name]
    spread = fit_and_measure(pipeline, split, NAMES)["test_spread"]
    lines = newest(learning_table(canonical(monthly_gold(prices)), DEFINITION))
    return {score.entity: score for score in score_lines(lines, pipeline.predict(lines[NAMES]), spread)}


@pytest.mark.parametrize("name", sorted(candidates()))
def test_no_real_month_is_unusual_and_one_that_is_multiplied_is(prices: pd.DataFrame, split: Split, name: str) -> None:
    """The split is that of the real data: the champion was trained before the wrong file came."""
    assert all(score.score < 2 for score in scores(prices, split, name).values())
    for symbol in ("AAPL", "FB", "GOOG", "IBM", "MSFT"):
        found = scores(with_newest_month_times(prices, symbol, 1.8), split, name)
        assert found.pop(symbol).score > 6
        assert all(score.score < 2 for score in found.values())


def test_a_score_counts_standard_deviations_and_the_limit_itself_is_unusual() -> None:
    lines = pd.DataFrame({"entity": ["A", "B"], "target_period": pd.Timestamp("2020-05-01"), "target": [9.0, -7.0]})
    found = score_lines(lines, [1.0, 1.0], 2.0)
    assert found == (
        Score("A", "2020-05-01", 9.0, 1.0, 4.0),
        Score("B", "2020-05-01", -7.0, 1.0, 4.0),
    )
    assert Scoring("m", "1", 4.0, found).unusual(found[0])
    assert not Scoring("m", "1", 4.001, found).unusual(found[0])
