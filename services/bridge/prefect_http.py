"""Speaking to Prefect's REST API, and telling an outage from a refusal. What is asked is the callers' business."""

from __future__ import annotations

from typing import Any

import httpx

# 401 and 403 are a fault of the set-up, not of the event that happens to be handled: nothing may die of them.
_AWAY = frozenset((401, 403, 408, 425, 429))


class PrefectAwayError(Exception):
    """Prefect does not answer, or cannot at the moment: try again later."""


class PrefectRefusedError(Exception):
    """Prefect answered that it will not do this; trying again is of no use."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"Prefect refused ({status}): {detail}")
        self.status = status


class PrefectHttp:
    """Requests to one server. `api_url` ends with /api."""

    def __init__(self, client: httpx.AsyncClient, api_url: str) -> None:
        self._client, self._api = client, api_url.rstrip("/")

    async def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET; raises PrefectAwayError or PrefectRefusedError."""
        return await self._request("GET", path, params=params)

    async def post(self, path: str, body: Any) -> Any:
        """The JSON of a POST; raises PrefectAwayError or PrefectRefusedError."""
        return await self._request("POST", path, json=body)

    async def check(self) -> str | None:
        """Readiness: None, or why Prefect cannot be used."""
        try:
            await self.get("/health")
        except PrefectAwayError as error:
            return str(error)
        return None

    async def _request(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = await self._client.request(method, self._api + path, **more)
        except httpx.TransportError as error:
            # The address may hold a password: name the kind of fault only.
            raise PrefectAwayError(f"Prefect does not answer: {type(error).__name__}") from error
        if answer.status_code >= 500 or answer.status_code in _AWAY:
            raise PrefectAwayError(f"Prefect answered {answer.status_code} to {method} {path}")
        if answer.status_code >= 400:
            raise PrefectRefusedError(answer.status_code, _detail(answer))
        try:
            return answer.json()
        except ValueError:
            # A redirect or a proxy's page: a wrong PREFECT_API_URL, of which no event must die.
            raise PrefectAwayError(f"what answers {answer.status_code} to {method} {path} is not Prefect") from None


def _detail(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return answer.text[:500]
    detail = body.get("detail") or body.get("exception_detail") or body if isinstance(body, dict) else body
    return " ".join(str(detail).split())[:1000]
