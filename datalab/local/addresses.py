"""Where to reach a lab from outside it: the environment first, then the running lab's ports, then the usual ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from datalab.local.assembly import external_database
from datalab.local.control import running
from datalab.local.layout import LabLayout
from datalab.local.parts.postgres import embedded_url
from datalab.runtime.settings import PROJECT_ROOT, configuration

_USUAL = {"kafka": 9092, "prefect": 4200, "mlflow": 5000, "ingest": 8081, "bridge": 8082, "monitor": 8083,
          "notifier": 8084, "dashboard": 8501, "inbox": 8025, "spark": 15002}  # fmt: skip


@dataclass(frozen=True)
class LabAddresses:
    """Addresses and places of one lab. URLs have no slash at the end; `prefect_api` ends with /api."""

    home: Path
    is_running: bool
    kafka: str
    prefect_api: str
    mlflow: str
    ingest: str
    bridge: str
    monitor: str
    notifier: str
    dashboard: str
    inbox: str
    database_url: str
    landing: Path
    lake: str
    spark_remote: str

    @property
    def pages(self) -> dict[str, str]:
        """What to open in a browser."""
        prefect = self.prefect_api.removesuffix("/api")
        return {"dashboard": self.dashboard, "Prefect": prefect, "MLflow": self.mlflow, "inbox": self.inbox}


def lab_addresses(environ: Mapping[str, str] | None = None) -> LabAddresses:
    """The lab of DATALAB_HOME. INGEST_URL, BRIDGE_URL and the like in the environment win, for a lab elsewhere."""
    environ = configuration(environ if environ is not None else os.environ)
    layout = LabLayout.at(Path(environ.get("DATALAB_HOME") or PROJECT_ROOT / ".datalab"))
    state = running(layout)
    ports = dict(_USUAL)
    for part in state.parts.values() if state else ():
        ports |= part.ports

    def url(name: str) -> str:
        return (environ.get(f"{name.upper()}_URL") or f"http://127.0.0.1:{ports[name]}").rstrip("/")

    return LabAddresses(
        home=layout.home,
        is_running=state is not None and state.phase == "ready",
        kafka=environ.get("KAFKA_BOOTSTRAP_SERVERS") or f"127.0.0.1:{ports['kafka']}",
        prefect_api=environ.get("PREFECT_API_URL", "").rstrip("/") or f"{url('prefect')}/api",
        mlflow=url("mlflow"),
        ingest=url("ingest"),
        bridge=url("bridge"),
        monitor=url("monitor"),
        notifier=url("notifier"),
        dashboard=url("dashboard"),
        inbox=url("inbox"),
        database_url=external_database(layout, environ) or embedded_url(layout),
        landing=Path(environ.get("LANDING_DIR") or layout.home / "landing").absolute(),
        lake=environ.get("LAKE_ROOT") or str(layout.home / "lake"),
        spark_remote=environ.get("SPARK_REMOTE") or f"sc://127.0.0.1:{ports['spark']}",
    )
