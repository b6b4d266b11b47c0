"""Asking services over real sockets: alive, away, hanging, and answering something else."""

from __future__ import annotations

import json
import time

import grpc
import httpx
import pytest

from datalab.bus.loop_thread import run_apart
from flows.watch.probes import accepts, database_answers, http_answers, speaks_http2
from flows.watch.services import Health, look_at_services
from flows.watch.settings import WatchSettings
from tests.support.odd_servers import answering_server, silent_server
from tests.support.processes import free_port


async def ask(url: str) -> str | None:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await http_answers(client, url)


async def test_an_http_service_is_well_if_it_answers_with_success() -> None:
    with answering_server() as port:
        assert await ask(f"http://127.0.0.1:{port}/health") is None
    with answering_server(404) as port:
        assert await ask(f"http://127.0.0.1:{port}/health") == "answers 404"


async def test_a_service_of_ours_that_is_not_ready_says_which_check_fails() -> None:
    checks = {"database": [{"status": "fail", "output": "no answer within 2 s"}], "bus": [{"status": "pass"}]}
    with answering_server(503, json.dumps({"checks": checks}).encode()) as port:
        assert await ask(f"http://127.0.0.1:{port}/readyz") == "answers 503: database: no answer within 2 s"
    for body in (b"not json", b"[1]", b'{"checks": 1}'):
        with answering_server(503, body) as port:
            assert await ask(f"http://127.0.0.1:{port}/readyz") == "answers 503"


async def test_a_grpc_server_is_told_from_whatever_else_listens() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert await speaks_http2("127.0.0.1", port) is None
    finally:
        await server.stop(None)
    with answering_server() as other:
        assert await speaks_http2("127.0.0.1", other) in {"answers, but not in gRPC", "closes the connection"}
        assert await accepts("127.0.0.1", other) is None
    for probe in (accepts, speaks_http2):
        with pytest.raises(ConnectionRefusedError):
            await probe("127.0.0.1", free_port())


async def test_postgres_answers_a_query_or_the_probe_says_why_not(database_url: str) -> None:
    assert await database_answers(database_url) is None
    with pytest.raises(OSError, match="Connect call failed"):
        await database_answers(f"postgresql+asyncpg://127.0.0.1:{free_port()}/x")


def looked(monkeypatch: pytest.MonkeyPatch, port: int, deadline_s: float) -> dict[str, Health]:
    """What becomes of every service, all of them at one port."""
    for name in ("INGEST_URL", "BRIDGE_URL", "MONITOR_URL", "NOTIFIER_URL", "DASHBOARD_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{port}")
    monkeypatch.setenv("DATABASE_URL", f"postgresql+asyncpg://me:secret@127.0.0.1:{port}/lab")
    monkeypatch.setenv("SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("SMTP_PORT", str(port))
    monkeypatch.setenv("SPARK_REMOTE", f"sc://127.0.0.1:{port}")
    found = run_apart(look_at_services(WatchSettings(), deadline_s=deadline_s))
    return {health.check.subject.service: health for health in found if health.check.subject.service != "host"}


ALL = {
    "ingest",
    "bridge",
    "monitor",
    "notifier",
    "dashboard",
    "prefect",
    "mlflow",
    "kafka",
    "postgres",
    "spark",
    "smtp",
}


def test_services_that_hang_are_all_given_up_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_server() as port:
        started = time.monotonic()
        found = looked(monkeypatch, port, deadline_s=2)
        assert time.monotonic() - started < 12, "eleven services one after the other would take longer"
    assert {name: health.check.reason for name, health in found.items()} == dict.fromkeys(ALL, "no answer within 2 s")


def test_services_that_are_away_are_each_said_to_be_and_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    found = looked(monkeypatch, free_port(), deadline_s=20)
    assert set(found) == ALL
    for health in found.values():
        assert health.check.reason
        assert health.seconds < 20
        assert "secret" not in f"{health.check.reason} {health.address}"


def test_one_that_hangs_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering_server(body=b"process_cpu_seconds_total 1.5\n") as port, silent_server() as silent:
        found = looked(monkeypatch, port, deadline_s=3)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent}")
        again = run_apart(look_at_services(WatchSettings(), deadline_s=3))
    assert found["ingest"].check.reason is None
    assert [(m.of, m.value) for m in found["ingest"].figures] == [("ingest", 1.5)]
    seconds = {health.check.subject.service: health.seconds for health in again}
    assert seconds["mlflow"] >= 3
    assert seconds["ingest"] < 3
