"""Consuming what the rules in force listen to: a consumer for their topics, and another when the topics change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from datalab.bus.consumer import Consumer
from datalab.runtime.logs import get_logger
from services.bridge.rules import RuleBook
from services.bridge.rules_in_force import RulesInForce

log = get_logger(__name__)
# Makes what the topics of these rules need, and a consumer of them.
Subscribe = Callable[[RuleBook], Awaitable[Consumer]]


class Consuming:
    """Keeps the consumer in line with the rules. Rules that change without their topics cost no rebalance."""

    def __init__(self, rules: RulesInForce, subscribe: Subscribe, *, poll_s: float) -> None:
        self._rules, self._subscribe, self._poll_s = rules, subscribe, poll_s
        self._consumer: Consumer | None = None

    async def check(self) -> str | None:
        """Readiness: None, or why no progress is made. Without any rule there is nothing to do."""
        return await self._consumer.check() if self._consumer else None

    @property
    def has_caught_up(self) -> bool:
        """Whether what waited in Kafka when this instance was given its share has been handled."""
        return self._consumer is not None and self._consumer.has_caught_up

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set."""
        while not stop.is_set():
            book = self._rules.book
            self._consumer = await self._subscribed(book, stop) if book.topics else None
            ended = asyncio.Event()
            watching = asyncio.create_task(self._watch(stop, ended, book.topics))
            try:
                await (self._consumer.run(ended) if self._consumer else ended.wait())
            finally:
                ended.set()
                await watching

    async def _subscribed(self, book: RuleBook, stop: asyncio.Event) -> Consumer | None:
        """The consumer, as soon as the broker does what its topics need; None if `stop` comes first."""
        while not stop.is_set():
            try:
                return await self._subscribe(book)
            except ConnectionError as error:
                log.warning("rules.waiting", reason=str(error))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._poll_s)
        return None

    async def _watch(self, stop: asyncio.Event, ended: asyncio.Event, topics: list[str]) -> None:
        """Set `ended` when it is time for another consumer, or for none."""
        while not ended.is_set() and not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_either(stop, ended), self._poll_s)
            if self._rules.refresh() and self._rules.book.topics != topics:
                break
        ended.set()


async def _either(first: asyncio.Event, second: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (first, second)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
