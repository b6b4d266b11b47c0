"""A fitted pipeline as MLflow keeps it: with its signature, without pickle."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

_PACKAGES = ("scikit-learn", "skops", "pandas", "numpy")
# What scikit-learn's models are made of beyond what skops trusts by itself.
_TRUSTED_TYPES = [
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]


def log_model(pipeline: Pipeline, inputs: pd.DataFrame) -> str:
    """Log it into the active run and return the model's id.

    Requirements are given, for to find them out MLflow would run the model in a new process. skops instead of pickle:
    loading such a model executes nothing.
    """
    import mlflow

    info = mlflow.sklearn.log_model(
        pipeline,
        name="model",
        serialization_format="skops",
        skops_trusted_types=_TRUSTED_TYPES,
        signature=mlflow.models.infer_signature(inputs, pipeline.predict(inputs)),
        pip_requirements=[f"{package}=={version(package)}" for package in _PACKAGES],
    )
    return str(info.model_id)
