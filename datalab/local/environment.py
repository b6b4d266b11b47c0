"""The environment that a lab's processes are given. The only place that writes the names which settings read."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from datalab.local.layout import LabLayout
from datalab.local.marked import LAB_MARK
from datalab.local.parts.prefect import CREATOR
from datalab.local.receivers import receivers
from datalab.runtime.settings import PROJECT_ROOT

_LOCAL = "127.0.0.1,localhost,::1"
# Those that others find by `INGEST_URL` and the like.
_SERVICES = ("ingest", "bridge", "monitor", "notifier", "dashboard")
# What the caller's shell says about another Prefect, Spark or Python must not reach the lab.
_DROPPED_PREFIXES = ("PREFECT_", "SPARK_", "MLFLOW_", "PYSPARK_", "JAVA_TOOL_", "PGHOST", "PGPORT", "PGUSER", "PGDATA")
_DROPPED = ("PYTHONHOME", "PYTHONSTARTUP", "CLASSPATH", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "PGDATABASE", "PGPASSWORD",
            "BRIDGE_PREFECT_CREATORS")  # fmt: skip


def lab_environment(
    layout: LabLayout, ports: Mapping[str, int], database_url: str, inherited: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What every process of the lab is started with; each part adds its own."""
    inherited = os.environ if inherited is None else inherited
    kept = {key: value for key, value in inherited.items() if not _dropped(key)}
    return {
        **kept,
        **_places(layout, inherited),
        **addresses(ports),
        **_runtime(kept),
        **_prefect(layout, ports),
        **receivers(layout, ports, inherited),
        "DATABASE_URL": database_url,
        LAB_MARK: layout.lab_id,
    }


def _dropped(key: str) -> bool:
    return key in _DROPPED or key.startswith(_DROPPED_PREFIXES)


def _places(layout: LabLayout, inherited: Mapping[str, str]) -> dict[str, str]:
    return {
        "DATALAB_HOME": str(layout.home),
        "LAKE_ROOT": inherited.get("LAKE_ROOT") or str(layout.home / "lake"),
        "LANDING_DIR": inherited.get("LANDING_DIR") or str(layout.home / "landing"),
        "DATALAB_CONFIG_DIR": inherited.get("DATALAB_CONFIG_DIR") or str(PROJECT_ROOT / "config"),
    }


def addresses(ports: Mapping[str, int]) -> dict[str, str]:
    """The addresses that follow from the ports: what a client of the lab needs to know."""
    forms = {
        "KAFKA_BOOTSTRAP_SERVERS": ("kafka", "127.0.0.1:{}"),
        "PREFECT_API_URL": ("prefect", "http://127.0.0.1:{}/api"),
        "MLFLOW_TRACKING_URI": ("mlflow", "http://127.0.0.1:{}"),
        "SPARK_REMOTE": ("spark", "sc://127.0.0.1:{}"),
        "INGEST_PORT": ("ingest", "{}"),
        "BRIDGE_PORT": ("bridge", "{}"),
        "MONITOR_PORT": ("monitor", "{}"),
        "NOTIFIER_PORT": ("notifier", "{}"),
        "DASHBOARD_PORT": ("dashboard", "{}"),
        "INBOX_HTTP_PORT": ("inbox", "{}"),
        "INBOX_SMTP_PORT": ("inbox-smtp", "{}"),
        **{f"{name.upper()}_URL": (name, "http://127.0.0.1:{}") for name in _SERVICES},
    }
    found = {name: form.format(ports[port]) for name, (port, form) in forms.items() if port in ports}
    creators = [f"http://127.0.0.1:{number}/api" for name, number in ports.items() if name.startswith(CREATOR)]
    return found | ({"BRIDGE_PREFECT_CREATORS": ",".join(creators)} if creators else {})


def _runtime(kept: Mapping[str, str]) -> dict[str, str]:
    values = {
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_ROOT), kept.get("PYTHONPATH")])),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
        "NO_PROXY": ",".join(filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy"), _LOCAL])),
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    values["no_proxy"] = values["NO_PROXY"]
    locale = kept.get("LC_ALL") or kept.get("LC_CTYPE") or kept.get("LANG") or ""
    if "utf" not in locale.lower():
        # Java takes the encoding of file names from here: without it a name with accents cannot be opened.
        values["LC_ALL"] = "C.UTF-8"
    return values


def _prefect(layout: LabLayout, ports: Mapping[str, int]) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(layout.home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_LOGGING_COLORS": "false",
        # A server that is being restarted answers nothing, or 500 while its database comes back: try for a while.
        "PREFECT_CLIENT_MAX_RETRIES": "10",
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
        # Prefect's 15 s are soon over where two workers share a machine, and to mark a run late costs the server as
        # much as to create one: after a burst of events it would do little else.
        "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "60",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_WORKER_HEARTBEAT_SECONDS": "10",
        # Parts of one machine are back within seconds; a minute's wait is for what lies beyond a network.
        "DATALAB_TASK_RETRY_DELAY_S": "5",
    }
