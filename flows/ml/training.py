"""A training: every candidate learns, is measured and goes into MLflow; the one with the best validation leads.

The test data judge and never choose: a candidate is chosen by its validation error when it knows the training part
only, and learns from both parts before it is tested and kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.ml import evaluation
from flows.ml.candidates import candidates, parameters
from flows.ml.definitions import ModelDefinition, code_version
from flows.ml.evaluation import Metrics
from flows.ml.experiment import MODEL_ID
from flows.ml.features import Split, feature_names
from schemas.envelope import event_id

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mlflow.entities import Run
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    from flows.ml.experiment import Experiment

BASELINE = "naive-baseline"


@dataclass(frozen=True)
class Contender:
    """A candidate, or the baseline, which has no model. Metrics are named `validation_…` and `test_…`."""

    name: str
    run_id: str
    model_id: str
    metrics: Metrics

    def test(self) -> Metrics:
        """The metrics on the test data, by their short names."""
        return {key.removeprefix("test_"): value for key, value in self.metrics.items() if key.startswith("test_")}


@dataclass(frozen=True)
class Training:
    """All contenders of a training, the best first."""

    run_id: str
    contenders: tuple[Contender, ...]

    @property
    def best(self) -> Contender:
        """The leading candidate; the baseline is none."""
        return next(contender for contender in self.contenders if contender.name != BASELINE)


def training_id(definition: ModelDefinition, hashes: NDArray[np.uint64]) -> str:
    """Identifies a training by its rows and its code: equal ones give equal models, as all seeds are fixed."""
    import numpy as np

    content = hashlib.sha256(np.sort(hashes).tobytes()).hexdigest()
    return event_id("training", definition.name, content, code_version(definition))


def train(experiment: Experiment, parent: Run, split: Split, definition: ModelDefinition) -> Training:
    """Train, measure and record what is not recorded yet. On one thread: so few rows gain nothing from more, which on
    busy cores wait for each other."""
    from threadpoolctl import threadpool_limits

    done = experiment.candidates(parent)
    facts = split_facts(split)
    if BASELINE not in done:
        done[BASELINE] = experiment.record(parent, BASELINE, {"algorithm": "last value", **facts}, _naive(split), None)
    names = feature_names(definition)
    for name, pipeline in candidates().items():
        if name not in done:
            with threadpool_limits(1):
                metrics, params = fit_and_measure(pipeline, split, names), {**parameters(pipeline), **facts}
                done[name] = experiment.record(parent, name, params, metrics, (pipeline, split.before_test[names]))
    contenders = [
        Contender(name, run.info.run_id, run.data.tags.get(MODEL_ID, ""), dict(run.data.metrics))
        for name, run in done.items()
    ]
    return Training(parent.info.run_id, tuple(sorted(contenders, key=lambda c: c.metrics["validation_rmse"])))


def fit_and_measure(pipeline: Pipeline, split: Split, names: list[str]) -> Metrics:
    """Metrics on validation and test data, and the `test_spread` of errors; leaves the pipeline fitted on all that
    comes before the test data."""
    pipeline.fit(split.train[names], split.train["target"])
    validation = evaluation.measure(split.validation["target"], pipeline.predict(split.validation[names]))
    known = split.before_test
    pipeline.fit(known[names], known["target"])
    target, predicted = split.test["target"], pipeline.predict(split.test[names])
    test = {**evaluation.measure(target, predicted), "spread": evaluation.spread(target, predicted)}
    return _named(validation, test)


def split_facts(split: Split) -> Mapping[str, object]:
    """Where the parts lie, for the record."""
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    rows = {f"{name}_rows": len(part) for name, part in parts.items()}
    return rows | {f"{name}_until": trained_until(part) for name, part in parts.items()}


def trained_until(part: pd.DataFrame) -> str:
    """The last period of a part, as an ISO date."""
    return str(part["target_period"].max().date().isoformat())


def _naive(split: Split) -> Metrics:
    validation, test = split.validation["target"], split.test["target"]
    return _named(
        evaluation.measure(validation, evaluation.baseline(validation)),
        evaluation.measure(test, evaluation.baseline(test)),
    )


def _named(validation: Metrics, test: Metrics) -> Metrics:
    return {f"validation_{k}": v for k, v in validation.items()} | {f"test_{k}": v for k, v in test.items()}
