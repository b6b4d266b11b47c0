"""What the tests have the pipeline do with a message, named by module and function."""

from __future__ import annotations

from typing import Any

from flows.pipeline.messages import Message

HERE = __name__


def only_value(message: Message) -> Any:
    return message.value


def double(message: Message) -> dict[str, int] | None:
    """Doubles `n`; none for an odd one."""
    n = message.value["n"]
    return None if n % 2 else {"n": 2 * n}


def needs_what_is_away(_: Message) -> None:
    raise ConnectionRefusedError("the price list")
