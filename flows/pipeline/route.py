"""Which topics a pipeline may join, and under which group. Pure; the broker's topics are an argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flows.errors import FlowError
from schemas.catalog import DEAD_LETTERS, topics


class RouteError(FlowError):
    """These topics cannot be joined. The message names the parameter, why, and what could be."""


@dataclass(frozen=True)
class Route:
    """From a topic to another. Each pair has a group, so each pipeline has offsets of its own."""

    entrada: str
    saida: str

    @property
    def group(self) -> str:
        return f"kafka-pipeline:{self.entrada}->{self.saida}"


def choose_route(entrada: str, saida: str, existing: Sequence[str]) -> Route:
    """The route between two topics that exist; raises RouteError."""
    ours = {spec.name for spec in topics()}
    for parameter, topic in (("topico_entrada", entrada), ("topico_saida", saida)):
        if topic not in existing:
            raise RouteError(f"{parameter}: there is no topic {topic!r}; known topics: {', '.join(existing)}")
    if entrada == saida:
        raise RouteError(f"topico_saida: is topico_entrada too ({entrada!r}), which would never end; choose another")
    if entrada == DEAD_LETTERS:
        raise RouteError(f"topico_entrada: {entrada!r} is read by `datalab dlq`, which can also replay what is there")
    if saida in ours:
        free = ", ".join(name for name in existing if name not in ours and name != entrada) or "none yet"
        raise RouteError(
            f"topico_saida: {saida!r} carries the lab's own events, and results are plain JSON; "
            f"choose a topic of your own: {free}"
        )
    return Route(entrada, saida)
