"""A histogram that takes a batch's values at once. One by one, each looks through the buckets and takes two locks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from prometheus_client import Histogram


class Tally(Histogram):
    """Prometheus's histogram, which has no public way to add many values."""

    def observe_all(self, amounts: Iterable[float]) -> None:
        """The same as `observe` for each."""
        ordered = sorted(amounts)
        if not ordered:
            return
        if self._labelnames and not self._labelvalues:
            raise ValueError("histogram metric is missing label values")
        self._sum.inc(sum(ordered))
        below = 0
        for bound, bucket in zip(self._upper_bounds, self._buckets, strict=True):
            upto = bisect_right(ordered, bound)
            if upto > below:
                bucket.inc(upto - below)
            below = upto
