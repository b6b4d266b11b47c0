"""From the best candidate to a version with an alias: registered once, held against the champion on the same data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.ml import evaluation
from flows.ml.decisions import Champion, Verdict, judge
from flows.ml.evaluation import Metrics
from flows.ml.features import Split
from flows.ml.registry import SPREAD, TRAINED_UNTIL, Registry, Version, misfit_of, predict
from flows.ml.training import Training, trained_until

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Outcome:
    """The new version and what was decided about it; `settled` if that was announced by an earlier run."""

    version: Version
    verdict: Verdict
    metrics: Metrics
    settled: bool = False


def register_and_decide(
    registry: Registry, training: Training, split: Split, tags: Mapping[str, str], threshold: float
) -> Outcome:
    """Make the best candidate a version, decide about it and move an alias; a repeat ends in the same state."""
    best = training.best
    facts = {SPREAD: str(best.metrics["test_spread"]), TRAINED_UNTIL: trained_until(split.before_test)}
    version = registry.register(best.run_id, best.model_id, {**tags, **facts})
    holder = registry.champion()
    if version.settled and version.verdict and holder:
        return Outcome(version, version.verdict, best.metrics, settled=True)
    metrics, verdict = dict(best.metrics), version.verdict
    if verdict is None:
        champion = on_test_data(registry, holder, split) if holder else None
        if champion and champion.rmse is not None:
            metrics["champion_test_rmse"] = champion.rmse
        verdict = judge(best.name, best.test(), len(split.test), champion, threshold=threshold)
    registry.decide(version, verdict, holder)
    return Outcome(version, verdict, metrics)


def on_test_data(registry: Registry, version: Version, split: Split) -> Champion:
    """How well the champion does on this training's test data."""
    knew = version.trained_until >= split.test["target_period"].min().date().isoformat()
    pipeline = registry.load(version)
    misfit = misfit_of(pipeline, split.test)
    if misfit is not None:
        return Champion(version.version, None, misfit=misfit)
    predicted = predict(pipeline, version, split.test)
    return Champion(version.version, evaluation.measure(split.test["target"], predicted)["rmse"], knew_the_test=knew)
