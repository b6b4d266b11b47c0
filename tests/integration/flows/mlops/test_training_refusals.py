"""What cannot be done is said plainly, and soon."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError

from flows.ml import experiment, mlflow_server
from flows.ml.errors import DefinitionError, GoldError, MLflowUnavailableError
from flows.mlops_flow import mlops_training_pipeline
from tests.integration.flows.mlops.conftest import Bench
from tests.support.monthly_gold import (
    invented_gold,
    write_gold,
)
from tests.support.processes import free_port


async def test_too_little_and_nothing_and_wrong_words_are_said_plainly(bench: Bench) -> None:
    with pytest.raises(GoldError, match="no such Delta table; load dataset stocks first"):
        mlops_training_pipeline()
    write_gold(bench.lake, invented_gold(lambda _: 0.0, months=6))
    summary = mlops_training_pipeline()
    assert (summary["train"], summary["champion"], summary["scores"]) == (False, None, [])
    assert summary["reason"].startswith("too little to learn from: 9 rows in 3 periods")
    assert bench.runs() == []
    with pytest.raises(GoldError, match="has no version 5; the newest is 0"):
        mlops_training_pipeline(data_version=5)
    with pytest.raises(DefinitionError, match="no model is defined for dataset='eventos'"):
        mlops_training_pipeline("eventos")
    many: Any = "many"
    with pytest.raises(ParameterTypeError, match="min_new_rows"):
        mlops_training_pipeline(min_new_rows=many)


def test_no_mlflow_is_said_plainly_after_the_retries(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gold(bench.lake, invented_gold(lambda _: 0.0))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{free_port()}")
    asked: list[str] = []
    get = mlflow_server.httpx.get
    monkeypatch.setattr(mlflow_server.httpx, "get", lambda url, **more: (asked.append(url), get(url, **more))[1])
    state = mlops_training_pipeline(return_state=True)
    assert state.is_failed()
    assert "does not answer (ConnectError); start it (`datalab up`) or correct MLFLOW_TRACKING_URI" in str(
        state.message
    )
    assert "secret" not in str(state.message)
    assert len(asked) == 3


class _Broken(BaseHTTPRequestHandler):
    """Says that it is well, and fails whatever it is asked."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def broken_server() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Broken)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_mlflow_that_fails_is_worth_a_retry(bench: Bench) -> None:
    with (
        broken_server() as uri,
        pytest.raises(MLflowUnavailableError, match=f"MLflow at {uri} failed"),
        mlflow_server.mlflow_at(uri) as client,
    ):
        experiment.Experiment(client, bench.model)
