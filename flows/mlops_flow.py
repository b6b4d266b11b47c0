"""MLOps: trains on Gold at a pinned version, promotes what beats the champion, and scores what is new.

Whether to train is decided first, from how many rows are new; the scores are given in any case. Every step may be
repeated: a run that was killed anywhere, and then runs again, leaves one version and one decision. This module only
orders the steps, announces them and retries them; what they do is in `flows.ml`.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

if __package__ in {None, ""}:  # loaded as a file: by Prefect, or from inside flows/
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.config import FlowSettings
from flows.lake.locks import dataset_lock
from flows.lake.tables import Lake
from flows.ml import announcements, features
from flows.ml.decisions import Known, TrainingPlan, plan_training
from flows.ml.definitions import ModelDefinition, choose_definition, code_version, load_definitions
from flows.ml.errors import ModelMisfitError
from flows.ml.experiment import VERSION, Experiment, finished
from flows.ml.gold import PinnedGold, count_new, read_gold
from flows.ml.mlflow_server import mlflow_at
from flows.ml.promotion import Outcome, register_and_decide
from flows.ml.registry import Registry, predict
from flows.ml.report import training_report
from flows.ml.scoring import Scoring, score_lines
from flows.ml.training import Training, train, training_id
from flows.runs import current_trace, task_options
from flows.trace import Trace
from flows.usage import HOOKS
from schemas.envelope import Event

_TASK = task_options()


class Job:
    """What all steps of a run share. Not a dataclass: Prefect would walk through all of it for each task."""

    def __init__(
        self, definition: ModelDefinition, table: str, trace: Trace, settings: FlowSettings, promote_threshold: float
    ) -> None:
        self.definition, self.table, self.trace = definition, table, trace
        self.mlflow, self.kafka = settings.mlflow_tracking_uri, settings.kafka_bootstrap_servers
        self.promote_threshold = promote_threshold

    def tags(self, gold: PinnedGold) -> dict[str, str]:
        """What MLflow is told of the data and of the run."""
        known = {
            "datalab.model": self.definition.name,
            "datalab.dataset": self.definition.dataset,
            "datalab.table": gold.table,
            "datalab.data_version": str(gold.version),
            "datalab.code_version": code_version(self.definition),
            "datalab.flow_run_id": self.trace.run_id,
            "datalab.event_id": self.trace.event_id,
        }
        return {key: value for key, value in known.items() if value}


@flow(name="mlops-training", description=__doc__, retries=0, persist_result=False, **HOOKS)
def mlops_training_pipeline(
    dataset: str = "stocks",
    gold: str = "stocks_monthly",
    data_version: Annotated[int, Field(ge=0)] | None = None,
    min_new_rows: Annotated[int, Field(ge=0)] = 0,
    promote_threshold: Annotated[float, Field(ge=0, lt=1)] = 0.01,
    score_threshold: Annotated[float, Field(gt=0)] = 4.0,
) -> dict[str, Any]:
    """Train on a Gold table if at least `min_new_rows` of its rows are new, and score each entity's newest change.

    `data_version` is the table's Delta version, by default the newest. A new version becomes champion if its RMSE is
    lower by `promote_threshold`, a part of the champion's. Raises ModelError with a plain message.
    """
    settings, log = FlowSettings(), get_run_logger()
    definition = choose_definition(load_definitions(settings.models_file), dataset, gold)
    lake = Lake(settings.lake_root, settings.datalab_home)
    job = Job(definition, lake.table("gold", gold).path, current_trace(), settings, promote_threshold)
    lock = dataset_lock(lake.work / "locks", f"model-{definition.name}", wait_s=settings.lock_wait_s, say=log.info)
    with lock:
        pinned = pin_gold(job, data_version)
        plan = decide_on_training(job, pinned, min_new_rows)
        log.info("%s version %d: %s", gold, pinned.version, plan.reason)
        training, outcome = _train(job, pinned) if plan.train else (None, None)
        scoring = score_newest(job, pinned, score_threshold)
        if scoring is not None:
            publish(job, announcements.scored(job.trace, dataset, pinned, scoring))
        report(job, training_report(definition.name, pinned, plan, training, outcome, scoring))
    return _summary(job, pinned, plan, training, outcome, scoring)


def _train(job: Job, gold: PinnedGold) -> tuple[Training, Outcome]:
    training = train_candidates(job, gold)
    outcome = promote(job, gold, training)
    get_run_logger().info("version %s: %s", outcome.version.version, outcome.verdict.reason)
    if not outcome.settled:
        publish(job, announcements.version_decided(job.trace, outcome))
    settle(job, training, outcome)
    return training, outcome


@task(name="pin-gold", **_TASK)
def pin_gold(job: Job, version: int | None) -> PinnedGold:
    """Read the table, once for the whole run."""
    return read_gold(job.table, job.definition, version)


@task(name="decide-on-training", **_TASK)
def decide_on_training(job: Job, gold: PinnedGold, min_new_rows: int) -> TrainingPlan:
    """Compare the rows with those that the last training saw; nothing is trained for that."""
    hashes = gold.hashes()
    lines = features.learnable(features.learning_table(gold.rows, job.definition))
    with mlflow_at(job.mlflow) as client:
        experiment, registry = Experiment(client, job.definition.name), Registry(client, job.definition.name)
        last, same = experiment.last_finished(), experiment.find(training_id(job.definition, hashes))
        known = Known(
            has_champion=registry.champion() is not None,
            last_version=last.data.tags.get(VERSION) if last else None,
            same_version=same.data.tags.get(VERSION) if same and finished(same) else None,
            interrupted=same is not None and not finished(same),
        )
        new = count_new(hashes, experiment.known_hashes(last.info.run_id) if last else None)
    too_little = features.too_little(lines, job.definition)
    return plan_training(len(hashes), new, min_new_rows, too_little, known)


@task(name="train", **_TASK)
def train_candidates(job: Job, gold: PinnedGold) -> Training:
    """Every candidate and the baseline, each as a run of MLflow."""
    split, hashes = _split(job, gold), gold.hashes()
    name = f"{job.definition.name} on version {gold.version}"
    with mlflow_at(job.mlflow) as client:
        experiment = Experiment(client, job.definition.name)
        parent = experiment.begin(training_id(job.definition, hashes), name, job.tags(gold), hashes)
        return train(experiment, parent, split, job.definition)


@task(name="promote", **_TASK)
def promote(job: Job, gold: PinnedGold, training: Training) -> Outcome:
    """Register the best candidate and hold it against the champion."""
    with mlflow_at(job.mlflow) as client:
        registry = Registry(client, job.definition.name)
        return register_and_decide(registry, training, _split(job, gold), job.tags(gold), job.promote_threshold)


@task(name="publish", **_TASK)
def publish(job: Job, events: list[Event]) -> None:
    """Announce on Kafka; each event is acknowledged before the run goes on."""
    from datalab.bus.publisher import SyncPublisher

    with SyncPublisher(job.kafka, "flows.mlops-training") as publisher:
        for event in events:
            publisher.publish(event)


@task(name="settle", **_TASK)
def settle(job: Job, training: Training, outcome: Outcome) -> None:
    """The training is over: what comes after compares with its rows."""
    with mlflow_at(job.mlflow) as client:
        Registry(client, job.definition.name).settle(outcome.version)
        metrics = {**outcome.metrics, "promoted": float(outcome.verdict.promoted)}
        Experiment(client, job.definition.name).finish(training.run_id, outcome.version.version, metrics)


@task(name="score", **_TASK)
def score_newest(job: Job, gold: PinnedGold, threshold: float) -> Scoring | None:
    """What the champion makes of each entity's newest change; None without a champion."""
    lines = features.newest(features.learning_table(gold.rows, job.definition))
    with mlflow_at(job.mlflow) as client:
        registry = Registry(client, job.definition.name)
        champion = registry.champion()
        if champion is None:
            return None
        if not champion.spread > 0:
            raise ModelMisfitError(f"{champion.title} was registered by hand: it has no tag datalab.spread")
        scores = score_lines(lines, predict(registry.load(champion), champion, lines), champion.spread)
    return Scoring(job.definition.name, champion.version, threshold, scores)


@task(name="report", **_TASK)
def report(job: Job, markdown: str) -> None:
    """The page for people."""
    create_markdown_artifact(
        key=f"mlops-{job.definition.name}",
        markdown=markdown,
        description=f"Leaderboard, decision and scores of {job.definition.name}",
    )


def _split(job: Job, gold: PinnedGold) -> features.Split:
    return features.split_by_time(features.learnable(features.learning_table(gold.rows, job.definition)))


def _summary(
    job: Job,
    gold: PinnedGold,
    plan: TrainingPlan,
    training: Training | None,
    outcome: Outcome | None,
    scoring: Scoring | None,
) -> dict[str, Any]:
    return {
        "model": job.definition.name,
        "table": gold.table,
        "data_version": gold.version,
        **asdict(plan),
        "leaderboard": [asdict(contender) for contender in training.contenders] if training else [],
        "version": outcome.version.version if outcome else None,
        "promoted": outcome.verdict.promoted if outcome else None,
        "decision": outcome.verdict.reason if outcome else None,
        "champion": scoring.version if scoring else None,
        "scores": [asdict(s) | {"unusual": scoring.unusual(s)} for s in scoring.scores] if scoring else [],
    }


if __name__ == "__main__":
    mlops_training_pipeline()
