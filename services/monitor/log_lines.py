"""The last lines of a run's log for its alert, from Prefect's REST. An alert never waits long for them, nor fails for
them: without an answer in time it goes without.

Secrets are cut out as they are from the lab's own logs, and what stands behind names such as `password=` besides.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

import httpx

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger, redacted

log = get_logger(__name__)
ANNOTATION = "log"
# For how long nobody is asked again who did not answer.
_AWAY_S = 15.0
_RECORDS, _LINES, _LINE, _ALL = 12, 10, 200, 1500
_NAMED = re.compile(r"(?i)\b([\w-]*(?:password|passwd|secret|token|api[_-]?key)[\w-]*[\"']?\s*[=:]\s*)[^\s,;]+")


class LastLines(Protocol):
    """Where the last lines of runs come from."""

    async def of(self, run_ids: Sequence[str]) -> Mapping[str, str]:
        """The lines of those runs that have any; raises nothing."""


class PrefectLogs:
    """Asks the Prefect server, all runs at once.

    `within_s` is what an alert may wait. A flow often fails because the machine is busy, and so is Prefect then: what
    is too short here leaves just those alerts without lines.
    """

    def __init__(self, api_url: str, client: httpx.AsyncClient, clock: Clock, *, within_s: float = 2.0) -> None:
        self._url, self._client, self._clock = f"{api_url.rstrip('/')}/logs/filter", client, clock
        self._within_s = within_s
        self._asked_again_from = 0.0

    async def of(self, run_ids: Sequence[str]) -> Mapping[str, str]:
        """See `LastLines`."""
        wanted = sorted({run_id for run_id in run_ids if _is_uuid(run_id)})
        if not wanted:
            return {}
        if self._clock.monotonic() < self._asked_again_from:
            log.info("alert.without_log", runs=wanted, reason="not asked: Prefect did not answer a moment ago")
            return {}
        try:
            async with asyncio.timeout(self._within_s):
                found = await asyncio.gather(*(self._ask(run_id) for run_id in wanted))
        except (TimeoutError, httpx.HTTPError, ValueError, TypeError, LookupError) as error:
            self._asked_again_from = self._clock.monotonic() + _AWAY_S
            log.info("alert.without_log", runs=wanted, reason=f"{type(error).__name__}: {error}"[:200])
            return {}
        told = {run_id: lines for run_id, lines in zip(wanted, found, strict=True) if lines}
        if len(told) < len(wanted):
            missing = [run_id for run_id in wanted if run_id not in told]
            # It stores lines some seconds late, and more where it has much to do; or the run is not its own.
            log.info("alert.without_log", runs=missing, reason="Prefect has no lines of it so far")
        return told

    async def _ask(self, run_id: str) -> str:
        body = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_DESC", "limit": _RECORDS}
        answer = await self._client.post(self._url, json=body)
        return last_lines(answer.raise_for_status().json())


def last_lines(newest_first: Sequence[Mapping[str, Any]]) -> str:
    """The last lines of the records that Prefect answers, the newest at the end. Pure."""
    lines = [
        f"{str(record['timestamp'])[11:19]} {line}"
        for record in reversed(newest_first)
        for line in _without_secrets(str(record["message"])).splitlines()
        if line.strip()
    ]
    kept = [line if len(line) <= _LINE else f"{line[: _LINE - 1]}…" for line in lines[-_LINES:]]
    while len("\n".join(kept)) > _ALL:
        kept.pop(0)
    return "\n".join(kept)


def _without_secrets(text: str) -> str:
    return _NAMED.sub(r"\1***", redacted(text))


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
