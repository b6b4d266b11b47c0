"""How unusual each entity's newest change is: its distance from what the champion expected, in standard deviations
of the champion's errors on its test data. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Score:
    """The newest change of an entity, observed and predicted in percent; `period` is an ISO date."""

    entity: str
    period: str
    observed: float
    predicted: float
    score: float


@dataclass(frozen=True)
class Scoring:
    """The scores that a version gave, the most unusual first."""

    model: str
    version: str
    threshold: float
    scores: tuple[Score, ...]

    def unusual(self, score: Score) -> bool:
        """Whether somebody should look at it."""
        return score.score >= self.threshold


def score_lines(lines: pd.DataFrame, predicted: Iterable[float], spread: float) -> tuple[Score, ...]:
    """A score for each line, which are those of `features.newest`."""
    scores = [
        Score(
            entity=str(entity),
            period=period.date().isoformat(),
            observed=float(observed),
            predicted=float(expected),
            score=abs(float(observed) - float(expected)) / spread,
        )
        for entity, period, observed, expected in zip(
            lines["entity"], lines["target_period"], lines["target"], predicted, strict=True
        )
    ]
    return tuple(sorted(scores, key=lambda score: (-score.score, score.entity)))
