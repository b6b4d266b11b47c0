"""The algorithms that compete, each as a pipeline that fills gaps and scales before it. All seeds are fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

SEED = 7


def candidates() -> dict[str, Pipeline]:
    """New, unfitted pipelines by name. Monthly returns are mostly noise, hence the strong regularisation."""
    from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor, RandomForestRegressor
    from sklearn.linear_model import Ridge
    from sklearn.neighbors import KNeighborsRegressor

    estimators = {
        "ridge": Ridge(alpha=100.0),
        # Its trees for searching cannot be saved without pickle, and so few rows need none.
        "k-nearest-neighbours": KNeighborsRegressor(n_neighbors=40, algorithm="brute"),
        "random-forest": RandomForestRegressor(n_estimators=100, min_samples_leaf=10, random_state=SEED),
        "gradient-boosting": GradientBoostingRegressor(
            n_estimators=60, learning_rate=0.03, max_depth=2, subsample=0.7, random_state=SEED
        ),
        "hist-gradient-boosting": HistGradientBoostingRegressor(
            max_iter=60, learning_rate=0.03, max_depth=3, min_samples_leaf=20, random_state=SEED
        ),
    }
    return {name: _pipeline(estimator) for name, estimator in estimators.items()}


def parameters(pipeline: Pipeline) -> dict[str, Any]:
    """The estimator's own parameters, for the record."""
    estimator = pipeline.steps[-1][1]
    return {"algorithm": type(estimator).__name__, **estimator.get_params(deep=False)}


def _pipeline(estimator: Any) -> Pipeline:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    gaps = SimpleImputer(strategy="median", keep_empty_features=True)
    return Pipeline([("gaps", gaps), ("scale", StandardScaler()), ("estimator", estimator)])
