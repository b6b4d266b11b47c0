"""MLflow's runs: one parent for a training, a child for each candidate, in the experiment of the model's name.

A training has an id that follows from its rows and its code. Doing it again finds what is there: finished children
stay, half-written ones are removed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.ml.errors import MLflowRefusedError
from flows.ml.logged_model import log_model

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    from flows.ml.evaluation import Metrics

KIND, TRAINING, CANDIDATE, VERSION = "datalab.kind", "datalab.training", "datalab.candidate", "datalab.version"
_PARENT = "mlflow.parentRunId"
MODEL_ID = "datalab.model_id"
_HASHES = "row_hashes.npy"


def finished(run: Run) -> bool:
    """Whether all of the run is there."""
    return bool(run.info.status == "FINISHED")


class Experiment:
    """The trainings of one model."""

    def __init__(self, client: MlflowClient, name: str) -> None:
        self._client, self._id = client, _experiment_id(client, name)

    def last_finished(self) -> Run | None:
        """The newest training that came to its end."""
        return self._first(f"tags.`{KIND}` = 'training' and attributes.status = 'FINISHED'")

    def find(self, training_id: str) -> Run | None:
        """The parent run of a training, finished or not."""
        return self._first(f"tags.`{KIND}` = 'training' and tags.`{TRAINING}` = '{training_id}'")

    def known_hashes(self, run_id: str) -> NDArray[np.uint64] | None:
        """Which rows a training saw; None if that is not there any more."""
        import mlflow
        import numpy as np

        if _HASHES not in {file.path for file in self._client.list_artifacts(run_id)}:
            return None
        with tempfile.TemporaryDirectory() as directory:
            path = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=_HASHES, dst_path=directory)
            hashes: NDArray[np.uint64] = np.load(path, allow_pickle=False)
        return hashes

    def begin(self, training_id: str, name: str, tags: Mapping[str, str], hashes: NDArray[np.uint64]) -> Run:
        """The training's parent run: the one that is there, or a new one that keeps which rows it sees."""
        import numpy as np

        found = self.find(training_id)
        if found is not None and self.known_hashes(found.info.run_id) is not None:
            return found
        marked = {**tags, KIND: "training", TRAINING: training_id}
        run = found or self._client.create_run(self._id, run_name=name, tags=marked)
        with tempfile.TemporaryDirectory() as directory:
            np.save(Path(directory) / _HASHES, hashes, allow_pickle=False)
            self._client.log_artifact(run.info.run_id, str(Path(directory) / _HASHES))
        return run

    def candidates(self, parent: Run) -> dict[str, Run]:
        """The finished candidates of a training by name; unfinished ones are removed."""
        runs = self._search(f"tags.`{_PARENT}` = '{parent.info.run_id}'")
        for run in runs:
            if not finished(run):
                self._client.delete_run(run.info.run_id)
        return {run.data.tags[CANDIDATE]: run for run in runs if finished(run)}

    def record(
        self,
        parent: Run,
        name: str,
        params: Mapping[str, Any],
        metrics: Metrics,
        fitted: tuple[Pipeline, pd.DataFrame] | None,
    ) -> Run:
        """A child run with parameters and metrics and, unless it is the baseline, its model with its signature."""
        import mlflow
        from mlflow.entities import Metric, Param

        tags = {key: value for key, value in parent.data.tags.items() if key.startswith("datalab.")}
        tags |= {KIND: "candidate", CANDIDATE: name, _PARENT: parent.info.run_id}
        run = self._client.create_run(self._id, run_name=name, tags=tags)
        when = run.info.start_time
        self._client.log_batch(
            run.info.run_id,
            metrics=[Metric(key, value, when, 0) for key, value in metrics.items()],
            params=[Param(key, str(value)) for key, value in params.items()],
        )
        with mlflow.start_run(run_id=run.info.run_id):
            if fitted is not None:
                self._client.set_tag(run.info.run_id, MODEL_ID, log_model(*fitted))
        return self._client.get_run(run.info.run_id)

    def finish(self, run_id: str, version: str, metrics: Metrics) -> None:
        """The training came to its end, with this version and these metrics."""
        for key, value in metrics.items():
            self._client.log_metric(run_id, key, value)
        self._client.set_tag(run_id, VERSION, version)
        self._client.set_terminated(run_id, "FINISHED")

    def _first(self, query: str) -> Run | None:
        return next(iter(self._search(query, limit=1)), None)

    def _search(self, query: str, limit: int = 100) -> list[Run]:
        return list(self._client.search_runs([self._id], query, max_results=limit, order_by=["start_time DESC"]))


def _experiment_id(client: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # somebody else was quicker
    if found is None or found.lifecycle_stage != "active":
        raise MLflowRefusedError(f"MLflow's experiment {name} was deleted; restore it, or delete it for good")
    return str(found.experiment_id)
