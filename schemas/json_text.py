"""JSON texts of others, read strictly: what one part of the lab could read and another could not store is refused here.

Integers stay as they are, up to 4,300 digits. A number with a fraction or an exponent is a 64-bit float. Refused are
repeated names, NaN, numbers beyond a float (1e400), the character NUL, halves of surrogate pairs, what is no UTF-8, and
more than 200 levels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import jiter


def parse(text: bytes) -> Any:
    """The value; raises ValueError that says where the text is at fault, or which field."""
    value = read(text)
    # NUL can only be written so. Most texts have neither, and then nothing more is looked at.
    if (b"\\u0000" in text or _has_infinity(value)) and (fault := unstorable(value)):
        raise ValueError(fault)
    return value


def read(text: bytes) -> Any:
    """As `parse`, but NUL and numbers beyond a float are left to `unstorable`."""
    return jiter.from_json(text, allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys")


def unstorable(value: Any, name: str = "") -> str | None:
    """None, or `field: reason` for the text or number in it that cannot be stored everywhere."""
    pending: list[tuple[str, Any]] = [(name, value)]
    while pending:
        at, item = pending.pop()
        if isinstance(item, dict):
            for key, inner in item.items():
                # The name itself may be at fault, so it is looked at as a value too.
                pending += [(at, key), (f"{at}.{key}" if at else str(key), inner)]
        elif isinstance(item, list):
            pending += [(f"{at}.{index}" if at else str(index), inner) for index, inner in enumerate(item)]
        elif reason := _reason(item):
            return f"{printable(at) or 'data'}: {reason}"
    return None


def printable(text: str) -> str:
    """The text, with what could not be shown or stored written as an escape."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _has_infinity(value: Any) -> bool:
    pending: list[Iterable[Any]] = [(value,)]
    while pending:
        for item in pending.pop():
            kind = type(item)
            if kind is str:
                continue  # nearly all are
            if kind is dict:
                pending.append(item.values())
            elif kind is list:
                pending.append(item)
            elif kind is float and not math.isfinite(item):
                return True
    return False


def _reason(item: Any) -> str | None:
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
