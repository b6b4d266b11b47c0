"""A processor of the Kafka pipeline that needs somebody else: each message names the port on which that one listens."""

from __future__ import annotations

import socket

from flows.pipeline.processing import Message

PROCESSOR = f"{__name__}:ask"


def ask(message: Message) -> dict[str, bool]:
    """Connects to the neighbour; raises ConnectionRefusedError while it is away."""
    socket.create_connection(("127.0.0.1", message.value["port"]), timeout=5).close()
    return {"answered": True}
