"""The commands as functions, against a running ingest, a real broker and real ledgers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from datalab.cli import events, publish, tokens
from tests.support.processes import running_ingest

Datalab = Callable[..., Result]


@pytest.fixture(scope="module")
def ingest_url(kafka_bootstrap: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    environ = {"KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap, "DATABASE_URL": database_url}
    with running_ingest(tmp_path_factory.mktemp("ingest"), environ) as (url, _):
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
