"""Pages without sockets: the services' answers are given, and no topic holds an event."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.dashboard import chain, look
from tests.unit.dashboard.answers import Services, usual


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """All services in one, with their usual answers."""
    stand_in = Services(usual())
    monkeypatch.setattr(look, "http_client", stand_in.client)

    async def unknown(_: str, event_id: str) -> None:
        raise LookupError(event_id)

    async def empty(_: str, __: str) -> dict[str, object]:
        return {}

    monkeypatch.setattr(chain, "find_event", unknown)
    monkeypatch.setattr(chain, "chain_of", empty)
    for name in ("DASHBOARD_LANGUAGE", "DASHBOARD_TIMEZONE", "PREFECT_UI_URL", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    return stand_in
