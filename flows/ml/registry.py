"""MLflow's registry: versions of a model, the aliases `champion` and `challenger`, and decisions kept with them.

Each step may be repeated. A decision is stored with its version before an alias moves and is marked as settled once it
is announced; until then a repeat goes on with it, after that a repeat changes nothing, whatever people did to the
aliases meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.ml.decisions import Verdict
from flows.ml.errors import ModelMisfitError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

CHAMPION, CHALLENGER = "champion", "challenger"
SPREAD, TRAINED_UNTIL = "datalab.spread", "datalab.trained_until"
_DECISION, _REASON, _SETTLED = "datalab.decision", "datalab.reason", "datalab.settled"
_PROMOTED, _REJECTED = "promoted", "rejected"
_MAX_DESCRIPTION = 5000


@dataclass(frozen=True)
class Version:
    """A version of the model. `spread` is the standard deviation of its errors on its own test data."""

    name: str
    version: str
    run_id: str
    spread: float
    trained_until: str
    settled: bool
    verdict: Verdict | None

    @property
    def title(self) -> str:
        """How a message names it."""
        return f"version {self.version} of {self.name}"


class Registry:
    """The versions of one model."""

    def __init__(self, client: MlflowClient, name: str) -> None:
        self._client, self._name = client, name

    def register(self, run_id: str, model_id: str, tags: Mapping[str, str]) -> Version:
        """The version made of a run's logged model: the one that is there, or a new one."""
        import mlflow

        found = self._client.search_model_versions(f"name = '{self._name}' and run_id = '{run_id}'")
        if found:
            return _version(min(found, key=lambda entry: int(entry.version)))
        return _version(mlflow.register_model(f"models:/{model_id}", self._name, tags=dict(tags)))

    def champion(self) -> Version | None:
        """The version that has the alias."""
        from mlflow.exceptions import MlflowException

        try:
            return _version(self._client.get_model_version_by_alias(self._name, CHAMPION))
        except MlflowException as error:
            # Without the alias MLflow finds fault with the parameter, without the model with the resource.
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise

    def decide(self, version: Version, verdict: Verdict, holder: Version | None) -> None:
        """Keep the decision with its version, where people read it, and move the alias. A champion that is newer than
        the version, because its run was interrupted and others were not, stays."""
        decision = _PROMOTED if verdict.promoted else _REJECTED
        number = version.version
        self._client.set_model_version_tag(self._name, number, _REASON, verdict.reason[:_MAX_DESCRIPTION])
        self._client.set_model_version_tag(self._name, number, _DECISION, decision)
        self._client.update_model_version(self._name, number, f"{decision}: {verdict.reason}"[:_MAX_DESCRIPTION])
        if not (verdict.promoted and holder is not None and int(holder.version) > int(number)):
            self._client.set_registered_model_alias(self._name, CHAMPION if verdict.promoted else CHALLENGER, number)

    def settle(self, version: Version) -> None:
        """The decision is announced."""
        self._client.set_model_version_tag(self._name, version.version, _SETTLED, "true")

    def load(self, version: Version) -> Pipeline:
        """The version's model."""
        import mlflow

        return mlflow.sklearn.load_model(f"models:/{self._name}/{version.version}")


def predict(pipeline: Pipeline, version: Version, lines: pd.DataFrame) -> NDArray[np.float64]:
    """What a version predicts; raises ModelMisfitError if it needs inputs that are not made today."""
    from threadpoolctl import threadpool_limits

    misfit = misfit_of(pipeline, lines)
    if misfit is not None:
        raise ModelMisfitError(f"{version.title} {misfit}; train a new one (min_new_rows=0)")
    with threadpool_limits(1):
        predicted: NDArray[np.float64] = pipeline.predict(lines[list(pipeline.feature_names_in_)])
    return predicted


def misfit_of(pipeline: Pipeline, lines: pd.DataFrame) -> str | None:
    """Why a model cannot be applied to the lines, or None."""
    missing = [name for name in pipeline.feature_names_in_ if name not in lines.columns]
    return f"needs inputs that are not made any more ({', '.join(missing)})" if missing else None


def _version(entry: ModelVersion) -> Version:
    tags = entry.tags
    decision = tags.get(_DECISION)
    return Version(
        name=entry.name,
        version=str(entry.version),
        run_id=entry.run_id or "",
        spread=float(tags.get(SPREAD, "nan")),
        trained_until=tags.get(TRAINED_UNTIL, ""),
        settled=tags.get(_SETTLED) == "true",
        verdict=Verdict(decision == _PROMOTED, tags.get(_REASON, "")) if decision else None,
    )
