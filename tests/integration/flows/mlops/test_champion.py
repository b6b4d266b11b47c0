"""What a training leaves in MLflow and on the topics, and which version becomes champion."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from prefect import tags

from flows.ml.errors import ModelError
from flows.mlops_flow import mlops_training_pipeline
from tests.integration.flows.mlops.conftest import Bench
from tests.support.monthly_gold import (
    invented_gold,
    monthly_gold,
    write_gold,
)


async def test_the_real_gold_makes_a_champion_and_everything_is_recorded_and_announced(
    bench: Bench, prices: pd.DataFrame
) -> None:
    assert write_gold(bench.lake, monthly_gold(prices)) == 0
    with tags("datalab.event=event-1", "datalab.correlation=chain-1"):
        summary = mlops_training_pipeline()
    assert (summary["rows"], summary["new_rows"], summary["promoted"], summary["champion"]) == (586, 586, True, "1")
    assert "becomes the first champion; its RMSE of" in summary["decision"]

    [parent] = bench.runs()
    assert parent.info.status == "FINISHED"
    children = bench.runs("candidate")
    assert len(children) == 6
    for child in children:
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert {"validation_rmse", "test_mae", "test_rmse", "test_r2", "test_skill"} <= set(child.data.metrics)
        told = {key.removeprefix("datalab."): value for key, value in child.data.tags.items()}
        assert (told["data_version"], told["dataset"], told["event_id"]) == ("0", "stocks", "event-1")
        assert told["table"].endswith("/my lab/lake/gold/stocks_monthly")
        assert len(told["code_version"]) == 12
        assert child.data.params["train_rows"].isdigit()
        if told["candidate"] == "naive-baseline":
            continue
        info = mlflow.models.get_model_info(f"runs:/{child.info.run_id}/model")
        assert "change_lag1" in info.signature.inputs.input_names()
        assert info.signature.outputs is not None
        assert "python_function" in info.flavors

    best = min(
        (c for c in summary["leaderboard"] if c["name"] != "naive-baseline"),
        key=lambda c: float(c["metrics"]["validation_rmse"]),
    )
    [version] = bench.versions()
    assert version.run_id == best["run_id"]
    assert (bench.alias("champion"), bench.alias("challenger")) == ("1", None)
    assert version.tags["datalab.data_version"] == "0"
    assert version.tags["datalab.decision"] == "promoted"

    events = await bench.events()
    counts = Counter(event.type for event in events)
    assert counts == {"lab.model.registered.v1": 1, "lab.model.promoted.v1": 1, "lab.score.normal.v1": 5}
    assert {(e.causationid, e.correlationid) for e in events} == {("event-1", "chain-1")}
    [promoted] = [event for event in events if event.type == "lab.model.promoted.v1"]
    assert promoted.data["reason"] == summary["decision"]
    assert promoted.data["metrics"]["test_rmse"] == pytest.approx(best["metrics"]["test_rmse"])
    assert "becomes the first champion" in await bench.page()


async def test_the_same_rows_are_learnt_once(bench: Bench) -> None:
    table = invented_gold(lambda _: -0.9)
    write_gold(bench.lake, table)
    mlops_training_pipeline()
    assert "0 of 360 rows are new" in mlops_training_pipeline(min_new_rows=1)["reason"]
    # Written anew in another order: another version with the same rows.
    assert write_gold(bench.lake, table.sample(frac=1, random_state=1).reset_index(drop=True)) == 1
    summary = mlops_training_pipeline()
    assert (summary["data_version"], summary["train"], summary["champion"]) == (1, False, "1")
    assert "version 1 was trained on exactly these" in summary["reason"]
    assert (len(bench.runs()), len(bench.runs("candidate")), len(bench.versions())) == (1, 6, 1)


async def test_the_champion_changes_for_a_better_model_and_stays_before_a_worse_one(bench: Bench) -> None:
    write_gold(bench.lake, invented_gold(lambda _: 0.0))
    assert mlops_training_pipeline()["promoted"]

    write_gold(bench.lake, invented_gold(lambda _: -0.9))
    better = mlops_training_pipeline()
    assert (better["version"], better["promoted"], better["champion"]) == ("2", True, "2")
    assert "better than the champion (version 1" in better["decision"]

    # What it learns from is noise; what judges is what the champion knows.
    write_gold(bench.lake, invented_gold(lambda month: 0.0 if month < 96 else -0.9))
    worse = mlops_training_pipeline()
    assert (worse["version"], worse["promoted"], worse["champion"]) == ("3", False, "2")
    assert "worse than the champion (version 2" in worse["decision"]
    assert (bench.alias("champion"), bench.alias("challenger")) == ("2", "3")
    third = bench.client.get_model_version(bench.model, "3")
    assert third.description == f"rejected: {worse['decision']}"
    assert third.tags["datalab.reason"] == worse["decision"]

    # A little better is not enough where more is asked for, and enough where it is not.
    write_gold(bench.lake, invented_gold(lambda _: -0.9, seed=3))
    strict = mlops_training_pipeline(promote_threshold=0.9)
    assert (strict["promoted"], bench.alias("champion"), bench.alias("challenger")) == (False, "2", "4")
    decisions = {e.data["version"]: e.type for e in await bench.events() if "reason" in e.data}
    assert decisions == {
        "1": "lab.model.promoted.v1",
        "2": "lab.model.promoted.v1",
        "3": "lab.model.rejected.v1",
        "4": "lab.model.rejected.v1",
    }
    [rejected] = [e for e in await bench.events() if e.type == "lab.model.rejected.v1" and e.data["version"] == "3"]
    # Both were measured on the same rows: the champion's figure is that of its model on this run's test data.
    assert rejected.data["metrics"]["champion_test_rmse"] < rejected.data["metrics"]["test_rmse"]


async def test_what_people_did_to_the_aliases_stays(bench: Bench) -> None:
    first, second = invented_gold(lambda _: 0.0), invented_gold(lambda _: -0.9)
    for table in (first, second):
        write_gold(bench.lake, table)
        assert mlops_training_pipeline()["promoted"]
    bench.client.set_registered_model_alias(bench.model, "champion", "1")
    summary = mlops_training_pipeline()
    assert (summary["train"], summary["champion"]) == (False, "1")
    assert bench.alias("champion") == "1"
    # Without any champion the decision is made anew.
    bench.client.delete_registered_model_alias(bench.model, "champion")
    again = mlops_training_pipeline(min_new_rows=50)
    assert (again["version"], again["champion"], len(bench.versions())) == ("2", "2", 2)


async def test_a_champion_that_does_not_fit_is_replaced_and_scores_nothing(bench: Bench) -> None:
    write_gold(bench.lake, invented_gold(lambda _: -0.9))
    mlops_training_pipeline()
    config = Path(os.environ["DATALAB_CONFIG_DIR"]) / "models.yaml"
    config.write_text(config.read_text().replace("[volume_total, ", "["))
    with pytest.raises(ModelError, match=r"needs inputs that are not made any more \(volume_total_change\); train"):
        mlops_training_pipeline(min_new_rows=1_000)
    summary = mlops_training_pipeline()
    assert (summary["promoted"], summary["champion"]) == (True, "2")
    bench.client.delete_model_version_tag(bench.model, "2", "datalab.spread")
    with pytest.raises(ModelError, match=f"version 2 of {bench.model} was registered by hand: it has no tag datalab.s"):
        mlops_training_pipeline()
    assert "replaces version 1, which needs inputs that are not made any more" in summary["decision"]


def test_the_logged_model_predicts_from_the_registry_alone(bench: Bench) -> None:
    write_gold(bench.lake, invented_gold(lambda _: -0.9))
    mlops_training_pipeline()
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    model = mlflow.pyfunc.load_model(f"models:/{bench.model}@champion")
    names = model.metadata.get_input_schema().input_names()
    inputs = pd.DataFrame(np.zeros((2, len(names))), columns=names)
    assert np.isfinite(model.predict(inputs)).all()
