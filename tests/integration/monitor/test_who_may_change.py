"""Changes at the monitor where others than its machine can ask: with a token that has the scope, and no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from datalab.runtime.clock import SystemClock
from datalab.runtime.health import Health
from datalab.runtime.settings import PROJECT_ROOT
from datalab.runtime.web import create_app
from datalab.store.changes import changes_need
from datalab.store.engine import Sessions
from datalab.store.tokens import Tokens
from services.monitor.api.routes import routes
from services.monitor.rules_in_force import RulesInForce

LIMIT, RULE = "/v1/thresholds/flow-duration/max_duration_s", "/v1/rules/flow-duration"


def app(sessions: Sessions, host: str, required: bool | None = None) -> FastAPI:
    clock = SystemClock()
    changes = changes_need("monitor", host, sessions, clock, tokens_required=required)
    made = create_app("monitor", Health(), description="The monitor's REST.")
    rules = RulesInForce(PROJECT_ROOT / "config" / "alerts.yaml", clock)
    made.include_router(routes(sessions, rules, clock, changes))
    return made


@pytest.fixture
async def reachable(sessions: Sessions) -> AsyncIterator[httpx.AsyncClient]:
    """The monitor's REST as if it listened on every address."""
    transport = httpx.ASGITransport(app(sessions, "0.0.0.0"))
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
        yield client


async def test_to_read_needs_no_token_and_to_change_needs_its_scope(
    reachable: httpx.AsyncClient, sessions: Sessions
) -> None:
    tokens = Tokens(sessions)
    may = (await tokens.create("may", ["monitor:write"], None))[1]
    other = (await tokens.create("other", ["bridge:write", "notifier:*", "type:*"], None))[1]

    async def status(method: str, path: str, secret: str | None, body: Any = None) -> int:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return (await reachable.request(method, path, headers=headers, json=body)).status_code

    assert [await status("GET", path, None) for path in (LIMIT, "/v1/rules", "/v1/alerts")] == [200, 200, 200]
    for change in (("PUT", LIMIT, {"value": 60}), ("DELETE", LIMIT, None), ("PUT", RULE, {"enabled": False})):
        method, path, body = change
        answers = [await status(method, path, secret, body) for secret in (None, "dlt_nobody-made-it", other, may)]
        assert answers == [401, 401, 403, 200], change
    await tokens.revoke("may")
    refused = await reachable.put(LIMIT, headers={"Authorization": f"Bearer {other}"}, json={"value": 60})
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"] == "the token other has no scope monitor:write"


@pytest.mark.parametrize(
    ("host", "required", "status"), [("127.0.0.1", None, 200), ("127.0.0.1", True, 401), ("::", False, 200)]
)
async def test_a_setting_says_otherwise(sessions: Sessions, host: str, required: bool | None, status: int) -> None:
    transport = httpx.ASGITransport(app(sessions, host, required))
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
        assert (await client.put(RULE, json={"enabled": True})).status_code == status
