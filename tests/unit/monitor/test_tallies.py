"""Many values at once count as one after another."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from services.monitor.tallies import Tally

BUCKETS = (0.5, 1, 10)


@pytest.mark.parametrize("amounts", [[], [0.5], [0.2, 0.5, 0.50001, 1, 1, 7, 10, 10.5, 1e9], [3.0] * 5, [11, 0.1, 0.0]])
def test_all_at_once_is_each(amounts: Sequence[float]) -> None:
    at_once, each = CollectorRegistry(), CollectorRegistry()
    Tally("seconds", "help", ["state"], buckets=BUCKETS, registry=at_once).labels("done").observe_all(amounts)
    one = Histogram("seconds", "help", ["state"], buckets=BUCKETS, registry=each).labels("done")
    for amount in amounts:
        one.observe(amount)
    assert _figures(at_once) == _figures(each)


def test_without_its_labels_it_says_so() -> None:
    with pytest.raises(ValueError, match="label"):
        Tally("seconds", "help", ["state"], registry=CollectorRegistry()).observe_all([1.0])


def _figures(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]
