"""The run's summary for people: a Markdown page with leaderboard, decision and scores. Text only, no I/O."""

from __future__ import annotations

from flows.ml.decisions import TrainingPlan
from flows.ml.gold import PinnedGold
from flows.ml.promotion import Outcome
from flows.ml.scoring import Scoring
from flows.ml.training import BASELINE, Training


def training_report(
    model: str,
    gold: PinnedGold,
    plan: TrainingPlan,
    training: Training | None,
    outcome: Outcome | None,
    scoring: Scoring | None,
) -> str:
    """Markdown. Without a training there is no leaderboard and no decision; without a champion, no score."""
    lines = [f"# {model}: {_headline(outcome)}", "", f"Gold: `{gold.table}`, version {gold.version}", ""]
    lines += [f"{'Trained' if plan.train else 'Not trained'}: {plan.reason}.", ""]
    if training is not None:
        lines += _leaderboard(training)
    if outcome is not None:
        lines += ["## Decision", "", f"Version {outcome.version.version}: {outcome.verdict.reason}.", ""]
    return "\n".join(lines + _scores(scoring)) + "\n"


def _headline(outcome: Outcome | None) -> str:
    if outcome is None:
        return "not trained"
    return f"version {outcome.version.version} is {'champion' if outcome.verdict.promoted else 'challenger'}"


def _leaderboard(training: Training) -> list[str]:
    columns = ("validation_rmse", "test_rmse", "test_mae", "test_r2", "test_skill")
    head = ["## Leaderboard", "", "Errors in percentage points; ordered by validation, judged by test.", ""]
    head += ["| | validation RMSE | test RMSE | test MAE | test R² | skill |", "|---|---:|---:|---:|---:|---:|"]
    cells = []
    for contender in training.contenders:
        name = f"*{contender.name}*" if contender.name == BASELINE else contender.name
        cells.append(f"| {name} | " + " | ".join(f"{contender.metrics[column]:.3f}" for column in columns) + " |")
    return [*head, *cells, ""]


def _scores(scoring: Scoring | None) -> list[str]:
    if scoring is None:
        return ["No champion yet: nothing was scored."]
    head = [f"## Scores by version {scoring.version}", "", f"Unusual from {scoring.threshold:g} on.", ""]
    head += ["| | period | observed % | predicted % | score | |", "|---|---|---:|---:|---:|---|"]
    return head + [
        f"| {s.entity} | {s.period} | {s.observed:.2f} | {s.predicted:.2f} | {s.score:.2f} | "
        f"{'**unusual**' if scoring.unusual(s) else 'normal'} |"
        for s in scoring.scores
    ]
