"""Whether to train, and whether the best candidate becomes champion: decisions with their reasons. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingPlan:
    """Whether to train, and why. `new_rows` of `rows` differ from what the last training saw."""

    train: bool
    reason: str
    rows: int
    new_rows: int


@dataclass(frozen=True)
class Known:
    """What MLflow knows of earlier trainings. `last_version` is of the newest finished one, `same_version` of the one
    on exactly these rows with this code, which may also have been `interrupted`."""

    has_champion: bool = False
    last_version: str | None = None
    same_version: str | None = None
    interrupted: bool = False


def plan_training(rows: int, new_rows: int, min_new_rows: int, too_little: str | None, known: Known) -> TrainingPlan:
    """What to do about a table of which `new_rows` of `rows` are new or changed."""
    count = f"{new_rows} of {rows} rows are new"
    since = f"{count} since version {known.last_version} was trained" if known.last_version else count
    train, reason = True, since
    if too_little is not None:
        train, reason = False, too_little
    elif known.interrupted:
        reason = f"{since}; a training on these rows was interrupted and goes on"
    elif not known.has_champion:
        reason = f"{since}; there is no champion yet"
    elif new_rows < min_new_rows:
        train, reason = False, f"{since}; {min_new_rows} are asked for"
    elif known.same_version is not None:
        train, reason = False, f"{since}; version {known.same_version} was trained on exactly these, by this code"
    return TrainingPlan(train, reason, rows, new_rows)


@dataclass(frozen=True)
class Verdict:
    """Whether a new version becomes champion, and why."""

    promoted: bool
    reason: str


@dataclass(frozen=True)
class Champion:
    """The champion on this run's test data. `rmse` is None, with the reason, if it cannot be applied to them;
    `knew_the_test` tells that it was trained on some of them."""

    version: str
    rmse: float | None
    misfit: str = ""
    knew_the_test: bool = False


def judge(name: str, test: Mapping[str, float], rows: int, champion: Champion | None, *, threshold: float) -> Verdict:
    """Hold the best candidate against the champion: it must be better by `threshold`, a part of the champion's RMSE."""
    skill = f"its RMSE of {test['rmse']:.3f} is {_than_naive(test['skill'])}"
    if champion is None:
        return Verdict(True, f"{name} becomes the first champion; {skill}")
    if champion.rmse is None:
        return Verdict(True, f"{name} replaces version {champion.version}, which {champion.misfit}; {skill}")
    gain = 1 - test["rmse"] / champion.rmse if champion.rmse > 0 else 0.0
    compared = f"{abs(gain):.1%} {'better' if gain > 0 else 'worse'} than the champion (version {champion.version}"
    compared += f", RMSE {champion.rmse:.3f}) on the same {rows} rows"
    if champion.knew_the_test:
        compared += ", some of which the champion was trained on"
    promoted = gain > 0 and gain >= threshold
    asked = "" if promoted else f"; {threshold:.1%} are asked for"
    return Verdict(promoted, f"{name} is {compared}{asked}; {skill}")


def _than_naive(skill: float) -> str:
    if skill <= 0:
        return f"no better than that of the naive forecast ({skill:+.1%})"
    return f"{skill:.1%} below that of the naive forecast"
