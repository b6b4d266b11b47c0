"""Reading a request's body with a limit that counts what really arrives, and turning JSON text into values.

What other parts of the lab could not store is found here: NaN, infinity, NUL, half of a surrogate pair.
"""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from datalab.runtime.web import Problem


async def read_body(request: Request, limit: int, timeout_s: float) -> bytes:
    """The whole body; raises Problem 413 as soon as it is too large, 408 if it takes too long."""
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
    except TimeoutError:
        raise Problem(408, "Request Timeout", f"the body did not arrive within {timeout_s:g} s") from None
    except ClientDisconnect:
        raise Problem(400, "Bad Request", "the connection ended before the body did") from None
    return bytes(body)


def parse_json(body: bytes) -> Any:
    """The value of a JSON text in UTF-8; raises Problem 400 that says where it is at fault."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise _malformed(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError:
        raise _malformed("it is nested too deeply") from None
    except ValueError as error:  # also UnicodeDecodeError, and integers of thousands of digits
        raise _malformed(str(error)[:200]) from error


def unstorable(value: Any, name: str = "") -> str | None:
    """None, or which text in the value cannot be stored everywhere, and why."""
    pending: list[tuple[str, Any]] = [(name, value)]
    while pending:
        at, item = pending.pop()
        if isinstance(item, dict):
            for key, inner in item.items():
                # The key itself may be at fault, so it is looked at as a value too.
                pending += [(at, key), (f"{at}.{key}" if at else str(key), inner)]
        elif isinstance(item, list):
            pending += [(f"{at}.{index}", inner) for index, inner in enumerate(item)]
        elif isinstance(item, str) and not item.isascii():
            try:
                item.encode()
            except UnicodeEncodeError:
                return f"{_plain(at)}: half of a surrogate pair is not a character"
        if isinstance(item, str) and "\x00" in item:
            return f"{_plain(at)}: the character NUL cannot be stored"
    return None


def _plain(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is out of range")
    return number


def _too_large(limit: int) -> Problem:
    return Problem(413, "Content Too Large", f"the body is larger than {limit} bytes", limit_bytes=limit)


def _malformed(detail: str) -> Problem:
    return Problem(400, "Malformed JSON", f"the body is not JSON: {detail}")
