"""Features know nothing of what comes after them, and the parts of the data follow each other in time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from datalab.runtime.settings import PROJECT_ROOT
from flows.ml.candidates import candidates
from flows.ml.definitions import ModelDefinition, load_definitions
from flows.ml.features import feature_names, learnable, learning_table, newest, split_by_time, too_little
from flows.ml.training import fit_and_measure
from tests.support.monthly_gold import monthly_gold, real_prices

DEFINITION = load_definitions(PROJECT_ROOT / "config" / "models.yaml")[0]
NAMES = feature_names(DEFINITION)


def canonical(gold: pd.DataFrame, definition: ModelDefinition = DEFINITION) -> pd.DataFrame:
    """As `flows.ml.gold` gives the rows."""
    columns = {"entity": gold["symbol"], "period": pd.to_datetime(gold["month"]), "value": gold["close_last"]}
    columns |= {f"context_{name}": gold[name].astype(float) for name in definition.context}
    return pd.DataFrame(columns).sort_values(["entity", "period"], ignore_index=True)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return canonical(monthly_gold(real_prices()))


@pytest.mark.parametrize("cut", ["2002-01-01", "2009-06-01", "2013-02-01"])
def test_changing_the_future_changes_no_feature_of_the_past(rows: pd.DataFrame, cut: str) -> None:
    future = rows["period"] > cut
    changed = rows.copy()
    numbers = [name for name in rows.columns if name not in {"entity", "period"}]
    changed.loc[future, numbers] = changed.loc[future, numbers] * 3 + 17
    before, after = (learning_table(frame, DEFINITION)[~future] for frame in (rows, changed))
    pd.testing.assert_frame_equal(before[NAMES], after[NAMES])
    without = learning_table(rows[~future].reset_index(drop=True), DEFINITION)
    np.testing.assert_array_equal(before[NAMES].to_numpy(), without[NAMES].to_numpy())
    assert not before["target"].equals(after["target"])  # the target is what may know the next month


def test_one_symbol_says_nothing_about_another(rows: pd.DataFrame) -> None:
    alone = rows[rows["entity"] == "IBM"].reset_index(drop=True)
    among = learning_table(rows, DEFINITION).query("entity == 'IBM'").reset_index(drop=True)
    pd.testing.assert_frame_equal(learning_table(alone, DEFINITION), among)


def test_features_and_target_are_what_they_are_called() -> None:
    values = [100.0, 110.0, 99.0, 108.9, 0.0, 50.0]
    months = pd.date_range("2020-01-01", periods=6, freq="MS")
    context = {f"context_{name}": 1.0 for name in DEFINITION.context}
    table = learning_table(pd.DataFrame({"entity": "A", "period": months, "value": values, **context}), DEFINITION)
    assert table["change"][1:5].tolist() == pytest.approx([10, -10, 10, -100])
    assert table["change_lag1"][2:4].tolist() == pytest.approx([10, -10])
    assert table["target"][:4].tolist() == pytest.approx([10, -10, 10, -100])
    assert table["mean_3"][3] == pytest.approx(10 / 3)
    assert np.isnan(table["change"][5])  # from nothing to something is no percentage
    assert set(NAMES) <= set(table.columns)


def test_the_parts_follow_each_other_and_the_newest_month_is_in_none(rows: pd.DataFrame) -> None:
    table = learning_table(rows, DEFINITION)
    split = split_by_time(learnable(table))
    assert len(split.train) + len(split.validation) + len(split.test) == len(learnable(table))
    assert split.train["target_period"].max() < split.validation["target_period"].min()
    assert split.validation["target_period"].max() < split.test["target_period"].min()
    assert split.before_test["period"].max() < split.test["target_period"].min()
    scored = newest(table)
    assert sorted(scored["entity"]) == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    assert set(scored["target_period"]) == {pd.Timestamp("2013-03-01")}
    assert split.test["target_period"].max() == pd.Timestamp("2013-02-01")


def test_transformations_learn_from_what_comes_before_the_test_alone(rows: pd.DataFrame) -> None:
    split = split_by_time(learnable(learning_table(rows, DEFINITION)))
    pipeline = candidates()["ridge"]
    fit_and_measure(pipeline, split, NAMES)
    known = split.before_test[NAMES]
    np.testing.assert_allclose(pipeline["gaps"].statistics_, known.median())
    np.testing.assert_allclose(pipeline["scale"].mean_, known.fillna(known.median()).mean(), atol=1e-9)


def test_too_little_is_said_with_numbers(rows: pd.DataFrame) -> None:
    lines = learnable(learning_table(rows, DEFINITION))
    assert too_little(lines, DEFINITION) is None
    few = lines[lines["target_period"] < "2001-01-01"]
    assert too_little(few, DEFINITION) == (
        f"too little to learn from: {len(few)} rows in {few['target_period'].nunique()} periods; "
        "100 rows in 10 periods are needed"
    )
