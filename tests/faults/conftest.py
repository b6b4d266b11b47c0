"""What is killed here is nobody else's: a Prefect server of its own for each module, not the one that a whole session
of tests has filled with runs and events."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lab_parts import prefect_server


@pytest.fixture(scope="module")
def prefect_api_url(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[str]:
    """The API of a real, empty Prefect server with the lab's work pools."""
    with prefect_server(tmp_path_factory.mktemp("prefect"), database_url) as api:
        yield api
