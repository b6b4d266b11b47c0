"""The commands as functions, against a running ingest, a real broker and real ledgers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from datalab.cli import events, publish, tokens
from tests.support.processes import free_port, service, wait_until_ready

Datalab = Callable[..., Result]


@pytest.fixture(scope="module")
def ingest_url(kafka_bootstrap: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("ingest")
    port, log = free_port(), home / "ingest.log"
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "DATABASE_URL": database_url,
        "DATALAB_HOME": str(home),
        "INGEST_PORT": str(port),
    }
    with service("services.ingest", environ, log) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, log)
        yield url


@pytest.fixture
def datalab(
    ingest_url: str, kafka_bootstrap: str, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Datalab:
    monkeypatch.setenv("DATALAB_HOME", str(tmp_path))
    monkeypatch.setenv("INGEST_URL", ingest_url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("DATABASE_URL", database_url)
    app = typer.Typer()
    publish.register(app)
    events.register(app)
    tokens.register(app)
    return lambda *words: CliRunner().invoke(app, list(words))
