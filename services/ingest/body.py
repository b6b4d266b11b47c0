"""Reading a request's body with a limit that counts what really arrives, and turning JSON text into values.

What other parts of the lab could not store is found here: NaN, infinity, NUL, half of a surrogate pair, repeated keys.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import jiter
from fastapi import Request
from starlette.requests import ClientDisconnect

from datalab.runtime.web import Problem
from services.ingest.budget import Held


async def read_body(request: Request, limit: int, timeout_s: float, held: Held) -> bytes:
    """The whole body. Raises Problem 413 as soon as it is too large, 408 if it takes too long, 503 if all requests
    together hold too much."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
                held.take(len(chunk))
    except TimeoutError:
        raise Problem(408, "Request Timeout", f"the body did not arrive within {timeout_s:g} s") from None
    except ClientDisconnect:
        raise Problem(400, "Bad Request", "the connection ended before the body did") from None
    return bytes(body)


def parse_json(body: bytes) -> Any:
    """The value of a JSON text in UTF-8, integers of any size exact; raises Problem 400 that says where it is at fault.

    Up to 200 levels deep. NUL and numbers such as 1e400 still need `unstorable`.
    """
    try:
        return jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys")
    except ValueError as error:
        raise Problem(400, "Malformed JSON", f"the body is not JSON: {_plain(str(error))[:300]}") from error


def may_hold_nul(body: bytes) -> bool:
    """Whether a JSON text may hold the character NUL: it can only be written so."""
    return b"\\u0000" in body


def unstorable(value: Any, name: str = "") -> str | None:
    """None, or which text or number in the value cannot be stored everywhere, and why."""
    pending: list[tuple[str, Any]] = [(name, value)]
    while pending:
        at, item = pending.pop()
        if isinstance(item, dict):
            for key, inner in item.items():
                # The key itself may be at fault, so it is looked at as a value too.
                pending += [(at, key), (f"{at}.{key}" if at else str(key), inner)]
        elif isinstance(item, list):
            pending += [(f"{at}.{index}", inner) for index, inner in enumerate(item)]
        elif fault := _fault(item):
            return f"{_plain(at)}: {fault}"
    return None


def _fault(item: Any) -> str | None:
    if isinstance(item, float) and not math.isfinite(item):
        return "the number is out of range"
    if not isinstance(item, str):
        return None
    if "\x00" in item:
        return "the character NUL cannot be stored"
    try:
        item.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair is not a character"
    return None


def _plain(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode().replace("\x00", "\\x00")


def _too_large(limit: int) -> Problem:
    return Problem(413, "Content Too Large", f"the body is larger than {limit} bytes", limit_bytes=limit)
