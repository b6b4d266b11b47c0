"""Real parts for tests, started by the lab's own supervisor: a broker, a database server, a Prefect server.

They stop when the `with` ends, and also when the test process is killed: the supervisor is tied to it by a pipe.
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from datalab.local.control import start_in_background, stop, wait_until_ready
from datalab.local.databases import create_missing, with_database
from datalab.local.layout import LabLayout
from datalab.local.parts.postgres import embedded_url
from datalab.local.state import LabState

_PORT_VARIABLES = ("KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "PREFECT_PORT", "MLFLOW_PORT", "SPARK_PORT")


@contextmanager
def lab_parts(home: Path, parts: Sequence[str], environ: Mapping[str, str] | None = None) -> Iterator[LabState]:
    """The named parts and what they need, ready, on ports away from the usual ones."""
    layout = LabLayout.at(home)
    inherited = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    ports = {name: str(random.randrange(20_000, 30_000)) for name in _PORT_VARIABLES}
    supervisor = start_in_background(layout, parts, environ={**inherited, **ports, **(environ or {})}, tied_to_us=True)
    try:
        yield wait_until_ready(layout, supervisor, seconds=300)
    finally:
        stop(layout)
        supervisor.communicate(timeout=60)


@contextmanager
def kafka_broker(tmp_dir: Path) -> Iterator[str]:
    """A broker with the lab's topics; yields its bootstrap address."""
    with lab_parts(tmp_dir / "kafka-lab", ["topics"]) as state:
        yield f"127.0.0.1:{state.parts['kafka'].ports['kafka']}"


@contextmanager
def postgres_server(tmp_dir: Path) -> Iterator[str]:
    """A database server with our tables; yields DATABASE_URL."""
    home = tmp_dir / "postgres-lab"
    with lab_parts(home, ["migrations"]):
        yield embedded_url(LabLayout.at(home))


@contextmanager
def prefect_server(tmp_dir: Path, database: str, kafka: str | None = None) -> Iterator[str]:
    """A Prefect server on the server of `database` (a DATABASE_URL), with its work pools; yields the API address.
    Its events go to the broker at `kafka`, if there is one.

    Its own database stands beside the given one, so two servers need two `fresh_database`s.
    """
    environ = {"DATABASE_URL": database} | ({"KAFKA_BOOTSTRAP_SERVERS": kafka} if kafka else {})
    with lab_parts(tmp_dir / "prefect-lab", ["prefect"], environ) as state:
        yield f"{state.parts['prefect'].url}/api"


def fresh_database(url: str, *, migrated: bool = True) -> str:
    """A new, empty database on the same server, with our tables; returns its DATABASE_URL."""
    from datalab.store.migrate import upgrade

    name = f"test_{uuid.uuid4().hex[:12]}"
    asyncio.run(create_missing(url, [name]))
    fresh = with_database(url, name)
    if migrated:
        upgrade(fresh)
    return fresh
