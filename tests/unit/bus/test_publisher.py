"""One producer is shared by all who publish: whoever gives up must not take it away from the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from datalab.bus.publisher import Publisher
from schemas.codec import EncodedRecord

RECORD = EncodedRecord(None, b"{}", [])


class SilentProducer:
    """Takes records and never acknowledges them."""

    async def send(self, *_: Any, **__: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()


def publisher(monkeypatch: pytest.MonkeyPatch, producer: SilentProducer, dropped: list[Any]) -> Publisher:
    shared = Publisher("127.0.0.1:1", "test", request_timeout_s=0.2, connect_later=True)
    shared._entered, shared._producer = True, producer

    async def abandon(old: Any) -> None:
        dropped.append(old)

    monkeypatch.setattr("datalab.bus.publisher._abandon", abandon)
    return shared


async def test_who_only_waited_for_a_turn_leaves_the_producer_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[Any] = []
    shared = publisher(monkeypatch, SilentProducer(), dropped)

    async with shared._sending:  # somebody else's turn, for longer than we wait
        with pytest.raises(TimeoutError):
            await shared.publish_record("lab.files", RECORD)

    assert dropped == []


async def test_a_producer_that_does_not_answer_is_given_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[Any] = []
    producer = SilentProducer()
    shared = publisher(monkeypatch, producer, dropped)

    answers = await asyncio.gather(
        *(shared.publish_record("lab.files", RECORD) for _ in range(3)), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [TimeoutError] * 3
    assert dropped == [producer]
