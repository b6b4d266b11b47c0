"""The whole story of any id: its chain, gathered from Kafka and the ledgers, as a tree. It only reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from datalab.store.engine import Sessions, database_is_down
from datalab.trace.events import chain_of
from datalab.trace.ledgers import ledgers_of
from datalab.trace.naming import Kind, named_in_ledgers, named_on_kafka
from datalab.trace.tree import TraceNode, build_trace


@dataclass(frozen=True)
class Story:
    """`asked` is of this kind. Without ledgers there are no runs and deliveries in it, since Postgres was away."""

    asked: str
    kind: Kind
    correlation: str
    roots: list[TraceNode]
    without_ledgers: bool

    def to_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "asked": self.asked,
            "kind": self.kind,
            "correlation": self.correlation,
            "without_ledgers": self.without_ledgers,
            "trace": [root.to_json() for root in self.roots],
        }


async def tell(bootstrap: str, sessions: Sessions, asked: str) -> Story:
    """The story; raises LookupError if nothing has this id, ConnectionError without a broker."""
    without_ledgers = False
    try:
        named = await named_in_ledgers(sessions, asked)
    except Exception as error:
        if not database_is_down(error):
            raise
        named, without_ledgers = None, True
    named = named or await named_on_kafka(bootstrap, asked)
    chain = await chain_of(bootstrap, named.correlation)
    try:
        triggers, deliveries = await ledgers_of(sessions, named.correlation, chain)
    except Exception as error:
        if not database_is_down(error):
            raise
        triggers, deliveries, without_ledgers = [], [], True
    return Story(asked, named.kind, named.correlation, build_trace(chain, triggers, deliveries), without_ledgers)
