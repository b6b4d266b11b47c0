"""A champion that no longer fits is told by the events that the training flow publishes, one odd value is not."""

from __future__ import annotations

import pandas as pd

from flows.ml.announcements import scored
from flows.ml.gold import PinnedGold
from flows.ml.scoring import Score, Scoring, score_lines
from flows.trace import Trace
from schemas.envelope import Event
from tests.integration.monitor.parts import Monitor, Taps

ENTITIES = ("AAPL", "GOOG", "IBM", "MSFT", "AMZN")
SPREAD = 1.5


def scores(changes: tuple[float, ...]) -> tuple[Score, ...]:
    """Of entities that the model expected not to change."""
    period = pd.Timestamp("2026-11-27")
    lines = pd.DataFrame({"entity": ENTITIES, "target_period": [period] * len(ENTITIES), "target": changes})
    return score_lines(lines, [0.0] * len(ENTITIES), SPREAD)


def told_by_training(model: str, dataset: str, changes: tuple[float, ...], data_version: int) -> list[Event]:
    gold = PinnedGold("gold/stocks", model, data_version, pd.DataFrame())
    scoring = Scoring(model=model, version="3", threshold=3.0, scores=scores(changes))
    return scored(Trace(run_id="run-1"), dataset, gold, scoring)


async def test_a_model_that_is_off_for_half_of_what_it_scores_is_told_until_it_fits(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    await running.ready()
    model, other = f"model-of-{dataset}", f"other-model-of-{dataset}"
    one_odd = told_by_training(other, dataset, (0.9, -1.2, 30.0, 0.3, 1.0), 1)
    off = told_by_training(model, f"{dataset}-2", (4.5, -6.0, 3.6, 0.3, -0.2), 1)
    fits = told_by_training(model, f"{dataset}-2", (1.5, -0.6, 0.3, 0.3, -0.2), 2)

    await taps.publish(*one_odd, *off)
    [firing] = await taps.until_alerts(1, of=model)
    # Both trainings were told: of each, one value was odd enough by itself.
    assert len(await taps.until_alerts(1, dataset=dataset, entity="IBM")) == 1
    await taps.publish(*fits)
    [_, resolved] = await taps.until_alerts(2, of=model)

    assert (firing.type, firing.data["severity"]) == ("lab.alert.firing.v1", "warning")
    assert firing.data["annotations"]["model"] == f"{model} version 3"
    assert firing.data["annotations"]["value"] == "2.4", "the median of 3.0, 4.0, 2.4, 0.2 and 0.13"
    assert firing.data["summary"].startswith(f"The champion of {model} is off by 2.4 times its usual error")
    assert (resolved.type, resolved.causationid) == ("lab.alert.resolved.v1", fits[-1].id)
    assert await taps.alerts(of=other) == []
