"""What a fault has cost: a row of the table that `make faults-notify` prints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

from tests.faults.notifier.lab import FaultLab


class Toll(NamedTuple):
    """Cases that were tried, alerts that were published, alerts that no receiver got, ids that a receiver got more than
    once; and in words what was seen."""

    cases: int
    alerts: int
    lost: int
    duplicated_ids: int
    seen: str = ""


# By what was done.
Tolls: TypeAlias = dict[str, Toll]
Scenario: TypeAlias = Callable[[FaultLab], Awaitable[Tolls]]
