"""A bar that shows how far a run is, on a real Prefect server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import progress
from flows.progress import Progress


@pytest.fixture(autouse=True)
def _server(prefect_api_url: str) -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: prefect_api_url}):
        yield


def bars(key: str) -> list[tuple[float, str | None]]:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    return [(float(str(bar.data)), bar.description) for bar in found]


def test_the_bar_goes_up_with_the_steps_and_ends_at_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    key = f"bar-{uuid.uuid4().hex[:8]}"
    seen: list[tuple[float, str | None]] = []

    @flow
    def works() -> None:
        bar = Progress(key, 4, "files")
        seen.extend(bars(key))
        for name in ("a.csv", "b.csv", "c.csv", "d.csv"):
            bar.step(name)
            seen.extend(bars(key))

    works()
    assert seen == [
        (0.0, "0 of 4: files"),
        (25.0, "1 of 4: a.csv"),
        (50.0, "2 of 4: b.csv"),
        (75.0, "3 of 4: c.csv"),
        (100.0, "4 of 4: d.csv"),
    ]


def test_quick_steps_are_not_each_a_request_but_the_last_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    monkeypatch.setattr(progress, "update_progress_artifact", lambda _, percent, description: told.append(percent))

    @flow
    def works() -> None:
        bar = Progress(f"bar-{uuid.uuid4().hex[:8]}", 50, "first")
        for number in range(50):
            bar.step(str(number))

    works()
    assert told[-1] == 100.0
    assert len(told) < 50


def test_a_bar_that_cannot_be_told_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ConnectionError("refused")

    monkeypatch.setattr(progress, "create_progress_artifact", refused)

    @flow
    def works() -> str:
        bar = Progress("bar", 1, "first")
        bar.step("last")
        return "done"

    assert works() == "done"
