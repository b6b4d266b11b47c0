"""The parts of the lab in one list, and the order that their needs impose. Decides only; starts nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from datalab.local.parts.base import Part
from datalab.local.parts.dashboard import Dashboard
from datalab.local.parts.kafka import Kafka
from datalab.local.parts.mlflow import MLflow
from datalab.local.parts.one_shots import Deployments, Migrations, Topics
from datalab.local.parts.postgres import ExternalPostgres, Postgres
from datalab.local.parts.prefect import PrefectCreator, PrefectServer, PrefectWorker
from datalab.local.parts.services import HttpPart
from datalab.local.parts.spark import SparkConnect

_MOST_CREATORS = 4


class PlanError(ValueError):
    """The parts cannot be ordered: an unknown name, a circle, or a number of them that cannot be."""


def creators(environ: Mapping[str, str]) -> int:
    """How many Prefect servers only create runs, beside the first: DATALAB_PREFECT_CREATORS. Raises PlanError."""
    wanted = environ.get("DATALAB_PREFECT_CREATORS", "").strip() or "0"
    if not wanted.isdecimal() or int(wanted) > _MOST_CREATORS:
        raise PlanError(f"DATALAB_PREFECT_CREATORS: is {wanted!r}; write a number from 0 to {_MOST_CREATORS}")
    return int(wanted)


def all_parts(*, external_postgres: bool = False, creators: int = 0) -> list[Part]:
    """Every part of a full lab. The first are started first where the processors are busy. `creators` is how many
    Prefect servers there are only for creating runs."""
    return [
        ExternalPostgres() if external_postgres else Postgres(),
        Kafka(),
        PrefectServer(),
        SparkConnect(),
        Migrations(),
        Topics(),
        *(PrefectCreator(number + 1) for number in range(creators)),
        Deployments(),
        PrefectWorker("etl-worker", "etl-pool"),
        PrefectWorker("mlops-worker", "mlops-pool"),
        HttpPart("inbox", "datalab.local.inbox", {"inbox": 8025, "inbox-smtp": 1025}, ()),
        HttpPart("ingest", "services.ingest", {"ingest": 8081}, ("migrations", "topics")),
        HttpPart("bridge", "services.bridge", {"bridge": 8082}, ("migrations", "topics", "prefect")),
        HttpPart("monitor", "services.monitor", {"monitor": 8083}, ("migrations", "topics")),
        HttpPart("notifier", "services.notifier", {"notifier": 8084}, ("migrations", "topics")),
        MLflow(),
        Dashboard(),
    ]


def select(parts: Sequence[Part], names: Iterable[str]) -> list[Part]:
    """The named parts and all that they need, in the order of `parts`; raises PlanError for an unknown name."""
    known = {part.name: part for part in parts}
    wanted: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in known:
            raise PlanError(f"there is no part {name!r}; parts: {', '.join(known)}")
        if name not in wanted:
            wanted.add(name)
            pending.extend(known[name].needs)
    return [part for part in parts if part.name in wanted]


def levels(needs: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Names grouped so that each needs only names of earlier groups; raises PlanError for a circle.

    Needs that are not among the names are taken as met.
    """
    left = {name: {need for need in wanted if need in needs} for name, wanted in needs.items()}
    ordered: list[list[str]] = []
    while left:
        free = [name for name, wanted in left.items() if not wanted]
        if not free:
            raise PlanError(f"these parts need each other in a circle: {', '.join(left)}")
        ordered.append(free)
        left = {name: wanted.difference(free) for name, wanted in left.items() if name not in free}
    return ordered


def wanted_ports(parts: Iterable[Part], environ: Mapping[str, str]) -> dict[str, int]:
    """The port each part would like: the environment's `INGEST_PORT` and the like, else its usual one."""
    wanted = {}
    for part in parts:
        for name, usual in part.ports.items():
            configured = environ.get(_variable(name), "")
            wanted[name] = int(configured) if configured.isdigit() and 0 < int(configured) < 65536 else usual
    return wanted


def _variable(port: str) -> str:
    special = {"inbox": "INBOX_HTTP_PORT", "inbox-smtp": "INBOX_SMTP_PORT"}
    return special.get(port, f"{port.upper().replace('-', '_')}_PORT")
