"""Real parts shared by all tests of a session. Each starts when a test first asks for it and stops at the end."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.lab_parts import fresh_database, kafka_broker, postgres_server, prefect_server

# What is made up is the same each time, so that a change is judged by itself; and a busy machine makes it slowly.
settings.register_profile("tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_configure() -> None:
    """Shells have what they start in the background ignore SIGINT, and processes that tests start would inherit that:
    Prefect's worker, which ends itself by that signal, could not be ended."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real broker with the lab's topics. Topics are shared: use groups and keys of your own."""
    with kafka_broker(tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def database_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """DATABASE_URL of a real server with our tables. Prefer `database_url`."""
    with postgres_server(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(scope="module")
def database_url(database_server: str) -> str:
    """DATABASE_URL of an empty database with our tables, for this module alone."""
    return fresh_database(database_server)


@pytest.fixture(scope="session")
def prefect_api_url(
    tmp_path_factory: pytest.TempPathFactory, database_server: str, kafka_bootstrap: str
) -> Iterator[str]:
    """The API of a real Prefect server with the lab's work pools, on Postgres; its events go to the broker."""
    with prefect_server(tmp_path_factory.mktemp("prefect"), database_server, kafka_bootstrap) as api:
        yield api
