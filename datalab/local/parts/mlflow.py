"""MLflow's tracking server and model registry: SQLite and artifacts below the state directory, one process."""

from __future__ import annotations

import sys
from types import MappingProxyType
from urllib.parse import quote

from datalab.local.parts.base import Command, Lab, Part
from datalab.local.probes import http_json, http_ok


class MLflow(Part):
    """Its web application run directly: `mlflow server` would load MLflow twice and add seven job processes."""

    name = "mlflow"
    ports = MappingProxyType({"mlflow": 5000})

    async def prepare(self, lab: Lab) -> None:
        (lab.layout.home / "mlflow" / "artifacts").mkdir(parents=True, exist_ok=True)

    def command(self, lab: Lab) -> Command:
        home = lab.layout.home / "mlflow"
        store = f"sqlite:///{quote(str(home / 'mlflow.db'))}"
        return Command(
            [
                sys.executable,
                "-m",
                "uvicorn",
                "mlflow.server.fastapi_app:app",
                "--host",
                "127.0.0.1",
                "--port",
                str(lab.ports["mlflow"]),
                "--timeout-graceful-shutdown",
                "3",
                "--log-level",
                "warning",
            ],
            # What `mlflow server` hands to its workers.
            env={
                "_MLFLOW_SERVER_FILE_STORE": store,
                "_MLFLOW_SERVER_REGISTRY_STORE": store,
                "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
                "_MLFLOW_SERVER_ARTIFACT_DESTINATION": (home / "artifacts").as_uri(),
                "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
                "_MLFLOW_SGI_NAME": "uvicorn",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            cwd=home,
        )

    async def ready(self, lab: Lab) -> str | None:
        return await http_ok(f"{lab.env['MLFLOW_TRACKING_URI']}/health")

    async def settle(self, lab: Lab) -> None:
        """The first question to the store makes its tables, which takes a while: ask it before anyone else does."""
        address = f"{lab.env['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search"
        await http_json("POST", address, {"max_results": 1}, seconds=120)

    def url(self, lab: Lab) -> str:
        return lab.env["MLFLOW_TRACKING_URI"]
