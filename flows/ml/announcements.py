"""The events of a training and of scores. Ids follow from model version and data, so that a repeat is recognised."""

from __future__ import annotations

from statistics import median

from flows.ml.gold import PinnedGold
from flows.ml.promotion import Outcome
from flows.ml.scoring import Scoring
from flows.trace import Trace
from schemas.envelope import Event
from schemas.metrics import MODEL_MEDIAN_SCORE, MetricSampled
from schemas.models import ModelPromoted, ModelRegistered, ModelRejected, ScoreNormal, ScoreUnusual

SOURCE = "/flows/mlops-training"


def version_decided(trace: Trace, outcome: Outcome) -> list[Event]:
    """lab.model.registered, and then promoted or rejected."""
    version, decided = outcome.version, ModelPromoted if outcome.verdict.promoted else ModelRejected
    fields = {"name": version.name, "version": version.version, "run_id": version.run_id, "metrics": outcome.metrics}
    models = [ModelRegistered(**fields), decided(**fields, reason=outcome.verdict.reason)]
    return [trace.event(SOURCE, data, version.name, version.version, version.run_id) for data in models]


def scored(trace: Trace, dataset: str, gold: PinnedGold, scoring: Scoring) -> list[Event]:
    """lab.score.unusual or normal for each entity, and how far off the model is for half of them."""
    events = []
    for score in scoring.scores:
        model = ScoreUnusual if scoring.unusual(score) else ScoreNormal
        data = model(
            name=scoring.model,
            version=scoring.version,
            dataset=dataset,
            entity=score.entity,
            period=score.period,
            observed=score.observed,
            predicted=score.predicted,
            score=score.score,
            threshold=scoring.threshold,
            data_version=gold.version,
            run_id=trace.run_id,
        )
        identity = (scoring.model, scoring.version, score.entity, score.period, gold.table_id, str(gold.version))
        events.append(trace.event(SOURCE, data, *identity))
    return [*events, _median(trace, gold, scoring)] if scoring.scores else events


def _median(trace: Trace, gold: PinnedGold, scoring: Scoring) -> Event:
    """The median tells a model that no longer fits from one value that is odd: 0.7 is usual for normal errors."""
    data = MetricSampled(
        of=scoring.model,
        name=MODEL_MEDIAN_SCORE,
        value=median(score.score for score in scoring.scores),
        unit="1",
        labels={"version": scoring.version},
    )
    return trace.event(SOURCE, data, scoring.model, scoring.version, "median", gold.table_id, str(gold.version))
