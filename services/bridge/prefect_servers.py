"""Where runs are created: Prefect's server, and the servers beside it that do nothing else, on the same database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from services.bridge.prefect_http import PrefectAwayError, PrefectHttp, PrefectRefusedError

log = get_logger(__name__)
# How long a server that does not answer is left alone.
_ASIDE_S = 10.0


class PrefectServers:
    """Asks the server with the fewest requests under way. One of the others that does not answer is left alone for a
    while, as is one that does not know what it is asked about, and the first is asked instead: what is asked here can
    be repeated, as each run has its key."""

    def __init__(self, first: PrefectHttp, others: Sequence[PrefectHttp], clock: Clock) -> None:
        self._first, self._clock = first, clock
        # The others come first where all are idle: they have nothing else to do.
        self._under_way = dict.fromkeys((*others, first), 0)
        self._aside_until: dict[PrefectHttp, float] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    async def post(self, path: str, body: Any) -> Any:
        """The JSON of a POST; raises PrefectAwayError or PrefectRefusedError."""
        now = self._clock.monotonic()
        able = [server for server in self._under_way if self._aside_until.get(server, now) <= now]
        server = min(able, key=self._under_way.__getitem__)
        if server is self._first:
            return await self._ask(server, path, body)
        try:
            return await self._ask(server, path, body)
        except (PrefectAwayError, PrefectRefusedError) as error:
            # Who knows no such deployment may be a server of another Prefect: no event must die of that.
            if isinstance(error, PrefectRefusedError) and error.status != 404:
                raise
            self._aside_until[server] = self._clock.monotonic() + _ASIDE_S
            log.warning("prefect.aside", reason=str(error), seconds=_ASIDE_S)
            return await self._ask(self._first, path, body)

    async def _ask(self, server: PrefectHttp, path: str, body: Any) -> Any:
        self._under_way[server] += 1
        try:
            return await server.post(path, body)
        finally:
            self._under_way[server] -= 1
