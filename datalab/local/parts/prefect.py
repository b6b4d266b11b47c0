"""Prefect: the API server on Postgres, and the process workers of its two pools. Deployments are another stage."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

import httpx

from datalab.local.databases import sibling
from datalab.local.parts.base import Command, Lab, Part
from datalab.local.parts.worker_log import use_log
from datalab.local.probes import http_json, http_ok
from datalab.worker.settings import WORKER_TYPE

POOLS = ("etl-pool", "mlops-pool")
BROKER = "datalab.prefect_kafka"
CREATOR = "prefect-creator"
_LAKE = (
    "pyspark.sql.connect.session",
    "pyspark.sql.functions",
    "pandas",
    "pyarrow.dataset",
    "deltalake",
    "datalab.bus.publisher",
    "prefect.artifacts",
)
# What the flows of each pool import only when they run, for the parent that their processes are forked from.
_PRELOADED = {
    "etl-pool": _LAKE,
    "mlops-pool": (*_LAKE, "mlflow", "sklearn.ensemble", "sklearn.pipeline", "matplotlib.figure"),
}


def worker_type(environ: Mapping[str, str]) -> str:
    """Prefect's name for the kind of worker: warm, unless DATALAB_WORKER_TYPE says otherwise (`process`: Prefect's)."""
    return environ.get("DATALAB_WORKER_TYPE") or WORKER_TYPE


class PrefectServer(Part):
    """The server alone, in one process: the command line's wrapper around it would cost seconds and 100 MiB."""

    name = "prefect"
    needs = ("postgres",)
    ports = MappingProxyType({"prefect": 4200})
    stop_seconds = 10.0

    def command(self, lab: Lab) -> Command:
        ui = {
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(lab.layout.home / "prefect" / "ui"),
            "PREFECT_UI_API_URL": lab.env["PREFECT_API_URL"],
        }
        return _served(lab, lab.ports["prefect"], ui)

    async def ready(self, lab: Lab) -> str | None:
        api = lab.env["PREFECT_API_URL"]
        return await http_ok(f"{api}/health") or await http_ok(f"{api}/ready")

    async def settle(self, lab: Lab) -> None:
        """The work pools, before the workers and the deployments that would both create them.

        One that exists keeps its type, which cannot be changed: workers of both types serve pools of both.
        """
        for pool in POOLS:
            try:
                await http_json(
                    "POST", f"{lab.env['PREFECT_API_URL']}/work_pools/", {"name": pool, "type": worker_type(lab.env)}
                )
            except httpx.HTTPStatusError as error:
                if error.response.status_code != 409:
                    raise

    def url(self, lab: Lab) -> str:
        return lab.env["PREFECT_API_URL"].removesuffix("/api")


class PrefectCreator(Part):
    """One more server on the same database, from which the bridge has runs created. It runs none of Prefect's services
    and shows no pages: its events reach the services of `prefect` by Kafka."""

    needs = ("prefect",)
    stop_seconds = 10.0

    def __init__(self, number: int) -> None:
        self.name = CREATOR if number == 1 else f"{CREATOR}-{number}"
        self.ports = MappingProxyType({self.name: 4200 + number})

    def command(self, lab: Lab) -> Command:
        lean = {
            "PREFECT__SERVER_WEBSERVER_ONLY": "1",
            "PREFECT_SERVER_UI_ENABLED": "false",
            # Both are done by the first server, which this one waits for.
            "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
            "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
        }
        return _served(lab, lab.ports[self.name], lean)

    async def ready(self, lab: Lab) -> str | None:
        return await http_ok(f"http://127.0.0.1:{lab.ports[self.name]}/api/ready")


def _served(lab: Lab, port: int, more: Mapping[str, str]) -> Command:
    words = ["-m", "uvicorn", "--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1"]
    limits = ["--timeout-keep-alive", "5", "--timeout-graceful-shutdown", "3", "--log-level", "warning"]
    return Command(
        [sys.executable, *words, "--port", str(port), *limits],
        env={
            "PREFECT__SERVER_FINAL": "1",
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": sibling(lab.database_url, "prefect"),
            "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
            # Where the lab has a broker, each event of the server goes there too; it waits for no broker.
            **({"PREFECT_SERVER_EVENTS_MESSAGING_BROKER": BROKER} if "KAFKA_BOOTSTRAP_SERVERS" in lab.env else {}),
            **more,
        },
    )


class PrefectWorker(Part):
    """One worker of one pool. Its flow runs go on when it is killed, and report by themselves."""

    needs = ("prefect",)
    children_outlive_it = True
    stop_seconds = 10.0

    def __init__(self, name: str, pool: str) -> None:
        self.name = name
        self._pool = pool
        self._started = datetime.now(UTC)

    async def prepare(self, lab: Lab) -> None:
        self._started = datetime.now(UTC)
        use_log(lab.layout.log(self.name), lab.env.get("DATALAB_WORKER_LOG", ""))

    def command(self, lab: Lab) -> Command:
        return Command(
            [
                sys.executable,
                "-m",
                "prefect",
                "worker",
                "start",
                "--pool",
                self._pool,
                "--type",
                worker_type(lab.env),
                "--name",
                self.name,
            ],
            env={"DATALAB_WORKER_PRELOAD": ",".join(_PRELOADED[self._pool])},
        )

    async def ready(self, lab: Lab) -> str | None:
        api = lab.env["PREFECT_API_URL"]
        try:
            workers = await http_json("POST", f"{api}/work_pools/{self._pool}/workers/filter", {"limit": 200})
        except httpx.HTTPError as error:
            return f"Prefect does not list the workers: {type(error).__name__}"
        online = (worker for worker in workers if worker["name"] == self.name and worker["status"] == "ONLINE")
        beats = (datetime.fromisoformat(worker["last_heartbeat_time"]) for worker in online)
        # The heartbeat of the process that died does not count for the one that follows it.
        return None if any(beat >= self._started for beat in beats) else "Prefect does not list it as online yet"
