"""Asking a part whether it answers, each by its protocol: HTTP and gRPC here, SQL and Kafka where those clients live.

Every probe returns None for yes, or the reason for no in a few words; none waits longer than its few seconds.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx

_SECONDS = 5.0


async def http_ok(url: str, seconds: float = _SECONDS) -> str | None:
    """None if a GET answers 200."""
    try:
        async with _client(seconds) as client:
            answer = await client.get(url)
    except httpx.ConnectError:
        return "not listening yet"
    except httpx.HTTPError as error:
        return f"{type(error).__name__} at {url}"
    return None if answer.status_code == 200 else f"{url} answers {answer.status_code}"


async def http_json(method: str, url: str, body: Any = None, seconds: float = _SECONDS) -> Any:
    """The JSON that the address answers; raises httpx.HTTPError also for an error status."""
    async with _client(seconds) as client:
        answer = await client.request(method, url, json=body)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def _client(seconds: float) -> httpx.AsyncClient:
    # Plain HTTP on this machine: reading the certificate store would be most of a probe's cost.
    return httpx.AsyncClient(trust_env=False, verify=False, timeout=seconds)  # noqa: S501


async def listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 2.0)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


class SparkProbe:
    """Asks a Spark Connect server for its version, over gRPC, always in the one session it keeps for that.

    The request is written by hand: two fields, for which all of pyspark would have to be imported.
    """

    _METHOD = "/spark.connect.SparkConnectService/AnalyzePlan"

    def __init__(self, session: str | None = None) -> None:
        self._session = (session or str(uuid.uuid4())).encode()

    async def version(self, port: int, seconds: float = 30.0) -> str | None:
        """None if the server states its version, else the reason."""
        import grpc

        if not await listening(port):
            return "not listening yet"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            call = channel.unary_unary(self._METHOD)
            try:
                answer: bytes = await call(self._request(), timeout=seconds)
            except grpc.aio.AioRpcError as error:
                return f"gRPC {error.code().name}"
        return None if answer else "an empty answer"

    def _request(self) -> bytes:
        # AnalyzePlanRequest: session_id = 1, user_context = 2 {user_id = 1}, spark_version = 10 {}
        user = b"datalab"
        context = b"\x0a" + bytes([len(user)]) + user
        session = b"\x0a" + bytes([len(self._session)]) + self._session
        return session + b"\x12" + bytes([len(context)]) + context + b"\x52\x00"
