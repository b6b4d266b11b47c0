"""Services do what they are there for, on real sockets and a real MLflow; and one that pretends is found out."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from aiosmtpd.controller import Controller

from flows.watch.exercises import EXPERIMENT, mlflow_keeps, smtp_greets
from tests.support.odd_servers import answering_server
from tests.support.polling import eventually
from tests.support.processes import free_port


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow on a database of its own."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(120)  # it ends what it began first


async def test_mlflow_keeps_what_is_written_and_a_repeat_needs_nothing_new(mlflow: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:

        async def answers() -> bool:
            try:
                return (await client.get(f"{mlflow}/health")).is_success
            except httpx.TransportError:
                return False

        await eventually(answers, within_s=120)
        assert await mlflow_keeps(client, mlflow) is None
        assert await mlflow_keeps(client, mlflow) is None
        search = {"max_results": 100, "filter": f"name = '{EXPERIMENT}'"}
        found = (await client.post(f"{mlflow}/api/2.0/mlflow/experiments/search", json=search)).json()
        assert len(found["experiments"]) == 1


async def test_an_mlflow_that_only_looks_well_is_found_out() -> None:
    body = b'{"experiment": {"experiment_id": "1", "tags": [{"key": "looked_at", "value": "2020-01-01"}]}}'
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        with answering_server(200, body) as port:
            assert await mlflow_keeps(client, f"http://127.0.0.1:{port}") == "a write answers 501"
        with answering_server(500) as port:
            assert await mlflow_keeps(client, f"http://127.0.0.1:{port}") == "a read answers 500"


async def test_a_mail_server_greets_and_another_server_does_not() -> None:
    port = free_port()
    server = Controller(object(), hostname="127.0.0.1", port=port)
    server.start()
    try:
        assert await smtp_greets("127.0.0.1", port) is None
    finally:
        server.stop()
    with pytest.raises(ConnectionRefusedError):
        await smtp_greets("127.0.0.1", port)

    async def busy(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"421 too many connections\r\n")
        writer.close()

    async with await asyncio.start_server(busy, "127.0.0.1", port):
        assert await smtp_greets("127.0.0.1", port) == "greets with 421 too many connections"
