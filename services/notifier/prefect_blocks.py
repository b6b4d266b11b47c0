"""Addresses that are kept in Prefect, as blocks of the type Slack Webhook, read over its REST when a message goes.

The same block then serves Prefect's own automations and the notifier, and is changed in one place.
"""

from __future__ import annotations

from urllib.parse import quote

import httpx

from datalab.runtime.clock import Clock

_KEPT_S = 60.0


class BlockUnreadableError(Exception):
    """The block cannot be read. `permanent`: it is not there, or is of another kind. Never shows what is in it."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


class PrefectBlocks:
    """Reads blocks, and keeps each for a minute."""

    def __init__(self, client: httpx.AsyncClient, api_url: str, clock: Clock) -> None:
        self._client, self._api, self._clock = client, api_url.rstrip("/"), clock
        self._kept: dict[str, tuple[float, str]] = {}

    async def slack_url(self, name: str) -> str:
        """The URL in the Slack Webhook block of that name; raises BlockUnreadableError."""
        kept = self._kept.get(name)
        if kept and self._clock.monotonic() - kept[0] < _KEPT_S:
            return kept[1]
        url = await self._read(name)
        self._kept[name] = self._clock.monotonic(), url
        return url

    async def _read(self, name: str) -> str:
        path = f"/block_types/slug/slack-webhook/block_documents/name/{quote(name, safe='')}"
        try:
            answer = await self._client.get(self._api + path, params={"include_secrets": "true"})
        except httpx.TransportError as error:
            raise BlockUnreadableError(f"Prefect does not answer: {type(error).__name__}", permanent=False) from None
        if answer.status_code == 404:
            raise BlockUnreadableError(f"Prefect has no Slack Webhook block named {name}", permanent=False)
        if answer.status_code != 200:
            raise BlockUnreadableError(f"Prefect answered {answer.status_code} for block {name}", permanent=False)
        try:
            url = answer.json()["data"]["url"]
        except (ValueError, KeyError, TypeError):
            raise BlockUnreadableError(f"Prefect's block {name} has no url", permanent=True) from None
        return str(url)
