"""A real MLflow server, and a lake and a model of its own for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from prefect import Task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, temporary_settings

from datalab.bus.reader import read_events
from datalab.runtime.settings import PROJECT_ROOT
from flows import mlops_flow
from schemas.envelope import Event
from tests.support.lab_parts import lab_parts
from tests.support.monthly_gold import (
    real_prices,
)


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with lab_parts(tmp_path_factory.mktemp("mlflow") / "mlflow lab", ["mlflow"]) as state:
        yield str(state.parts["mlflow"].url)


@dataclass(frozen=True)
class Bench:
    """A lake and a model of its own for a test, and a look at what the flow left."""

    lake: Path
    model: str
    kafka: str
    client: MlflowClient

    def runs(self, kind: str = "training", *, everywhere: bool = False) -> list[Run]:
        found = self.client.get_experiment_by_name(self.model)
        assert found is not None
        view = mlflow.entities.ViewType.ALL if everywhere else mlflow.entities.ViewType.ACTIVE_ONLY
        return list(self.client.search_runs([found.experiment_id], f"tags.`datalab.kind` = '{kind}'", view))

    def versions(self) -> list[ModelVersion]:
        return list(self.client.search_model_versions(f"name = '{self.model}'"))

    def alias(self, name: str) -> str | None:
        return dict(self.client.get_registered_model(self.model).aliases).get(name)

    async def events(self) -> list[Event]:
        found = read_events(self.kafka, ["lab.models"])
        return [event async for _, event in found if event.data["name"] == self.model]

    async def page(self) -> str:
        """What the runs wrote for people."""
        async with get_client() as client:
            wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[f"mlops-{self.model}"]))
            artifacts = await client.read_artifacts(artifact_filter=wanted)
        return "\n".join(str(artifact.data) for artifact in artifacts)


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_url: str, kafka_bootstrap: str, prefect_api_url: str
) -> Iterator[Bench]:
    home, model = tmp_path / "my lab", f"stocks-return-{uuid.uuid4().hex[:8]}"
    models = (PROJECT_ROOT / "config" / "models.yaml").read_text()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "models.yaml").write_text(models.replace("stocks-return:", f"{model}:"))
    for name in ("LAKE_ROOT", "LANDING_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATALAB_HOME", str(home))
    monkeypatch.setenv("DATALAB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)
    for step in vars(mlops_flow).values():
        if isinstance(step, Task):
            monkeypatch.setattr(step, "retries", 2)
            monkeypatch.setattr(step, "retry_delay_seconds", 0.2)
    with temporary_settings({PREFECT_API_URL: prefect_api_url}):
        yield Bench(home / "lake", model, kafka_bootstrap, MlflowClient(mlflow_url, mlflow_url))


@pytest.fixture(scope="module")
def prices() -> pd.DataFrame:
    return real_prices()
