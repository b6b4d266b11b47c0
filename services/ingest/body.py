"""Reading a request's body with a limit that counts what really arrives, and turning JSON text into values.

What other parts of the lab could not store is found here: NaN, infinity, NUL, half of a surrogate pair, repeated keys.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from datalab.runtime.web import Problem
from schemas.json_text import printable, read, unstorable
from services.ingest.budget import Held

__all__ = ["may_hold_nul", "parse_json", "read_body", "unstorable"]


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
        return read(body)
    except ValueError as error:
        raise Problem(400, "Malformed JSON", f"the body is not JSON: {printable(str(error))[:300]}") from error


def may_hold_nul(body: bytes) -> bool:
    """Whether a JSON text may hold the character NUL: it can only be written so."""
    # Most texts have no escape at all, and one character is looked for far faster.
    return b"\\" in body and b"\\u0000" in body


def _too_large(limit: int) -> Problem:
    return Problem(413, "Content Too Large", f"the body is larger than {limit} bytes", limit_bytes=limit)
