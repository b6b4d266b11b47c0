"""Features and targets from the rows of Gold. A feature knows only its own row and those before it.

Transformations that learn (means to fill gaps with, scales) are no features: they are steps of the candidates'
pipelines and learn from the training part alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.ml.definitions import ModelDefinition

if TYPE_CHECKING:
    import pandas as pd

_LAGS = (1, 2, 3)
_WINDOWS = (3, 6, 12)
_MIN_PERIODS = 10
# Parts of the periods, in order of time: the first learns, the second chooses, the last judges.
_TRAIN, _VALIDATION = 0.6, 0.2


def feature_names(definition: ModelDefinition) -> list[str]:
    """The inputs of a model, in order."""
    rolling = [f"{what}_{window}" for window in _WINDOWS for what in ("mean", "volatility")]
    lags = [f"change_lag{lag}" for lag in _LAGS]
    return ["change", *lags, *rolling, *(f"{name}_change" for name in definition.context), "season_sin", "season_cos"]


def learning_table(rows: pd.DataFrame, definition: ModelDefinition) -> pd.DataFrame:
    """A line for each row of Gold: `entity`, `period`, the features, `target` (the change to the next period, in
    percent) with `target_period`, and `newest`: whether that is the entity's newest period.

    What nobody can know stays NaN: the target of the last row, features of the first.
    """
    import numpy as np

    by_entity = rows.groupby("entity", sort=False)
    change = _percent_change(rows["value"], rows)
    changes = change.groupby(rows["entity"], sort=False)
    table = rows[["entity", "period"]].assign(change=change)
    for lag in _LAGS:
        table[f"change_lag{lag}"] = changes.shift(lag)
    for window in _WINDOWS:
        rolling = changes.rolling(window, min_periods=2)
        table[f"mean_{window}"] = rolling.mean().droplevel(0)
        table[f"volatility_{window}"] = rolling.std().droplevel(0)
    for name in definition.context:
        table[f"{name}_change"] = _percent_change(rows[f"context_{name}"], rows)
    angle = 2 * np.pi * (table["period"].dt.dayofyear - 1) / 366
    table["season_sin"], table["season_cos"] = np.sin(angle), np.cos(angle)
    table["target"] = changes.shift(-1)
    table["target_period"] = by_entity["period"].shift(-1)
    table["newest"] = table["target_period"] == by_entity["period"].transform("max")
    return table


def learnable(table: pd.DataFrame) -> pd.DataFrame:
    """The lines to learn from and to judge by: with a change before and one after.

    An entity's newest period is not among them: it may still be incomplete, and what is scored must be new to the
    model that scores it.
    """
    return table[table["target"].notna() & table["change"].notna() & ~table["newest"]]


def newest(table: pd.DataFrame) -> pd.DataFrame:
    """The line of each entity whose target is its newest change; an entity with a single period has none."""
    return table[table["target"].notna() & table["newest"]]


@dataclass(frozen=True)
class Split:
    """Parts that follow each other in time, by the period of the target, whatever the entity."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame

    @property
    def before_test(self) -> pd.DataFrame:
        """What the chosen model may learn from."""
        import pandas as pd

        return pd.concat([self.train, self.validation])


def too_little(lines: pd.DataFrame, definition: ModelDefinition) -> str | None:
    """Why nothing can be learnt from so few lines, or None."""
    periods = lines["target_period"].nunique()
    if len(lines) >= definition.min_rows and periods >= _MIN_PERIODS:
        return None
    return (
        f"too little to learn from: {len(lines)} rows in {periods} periods; "
        f"{definition.min_rows} rows in {_MIN_PERIODS} periods are needed"
    )


def split_by_time(lines: pd.DataFrame) -> Split:
    """Train, validation and test. No period is in two parts, so none of them knows another's future."""
    import numpy as np

    periods = np.sort(lines["target_period"].unique())
    validation = periods[int(len(periods) * _TRAIN)]
    test = periods[int(len(periods) * (_TRAIN + _VALIDATION))]
    when = lines["target_period"]
    return Split(lines[when < validation], lines[(when >= validation) & (when < test)], lines[when >= test])


def _percent_change(values: pd.Series[float], rows: pd.DataFrame) -> pd.Series[float]:
    import numpy as np

    before = values.groupby(rows["entity"], sort=False).shift(1)
    return (100 * (values / before - 1)).replace([np.inf, -np.inf], np.nan)
