"""Deliveries of the notifier: how many a second, how soon, beside receivers that fail, and in a storm of alerts.

The notifier has one core; broker, database, receiver and sender of alerts share the other. Each measurement has a lab
of its own, and counts by SQL and at the receiver. Keys: deliveries_per_s, alert_to_received_p95_ms,
slow_endpoint_p95_ratio, storm_alerts, storm_unaccounted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from bench.harness import repeat, report
from bench.hook_receiver import Arrival
from bench.notify_alerts import p95, publish_alerts, waits_ms
from bench.notify_lab import PATIENCE_S, PENDING, NotifyLab, notify_lab
from bench.notify_storm import storm
from schemas.codec import decode_attributes
from schemas.envelope import Event
from tests.support.polling import eventually

KEYS = (
    "deliveries_per_s",
    "alert_to_received_p95_ms",
    "slow_endpoint_p95_ratio",
    "storm_alerts",
    "storm_unaccounted",
)
_EXAMPLES = Path(__file__).resolve().parents[1] / "schemas" / "examples"
# On topics of their own, as in a lab at work; each is wanted by a tenth of the endpoints.
_TYPES = (
    "lab.file.arrived.v1", "lab.quality.passed.v1", "lab.quality.failed.v1", "lab.run.completed.v1",
    "lab.run.failed.v1", "lab.dataset.updated.v1", "lab.model.registered.v1", "lab.service.degraded.v1",
    "lab.metric.sampled.v1", "lab.run.started.v1",
)  # fmt: skip
_ENDPOINTS = 200


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--deliveries", type=int, default=15_000, help="of the first measurement")
    parser.add_argument("--seconds", type=float, default=8.0, help="of latency")
    # All 48 deliveries of an alert wait together: with fewer alerts two of them would be the p95.
    parser.add_argument("--slow-seconds", type=float, default=30.0, help="of each half of slow endpoint")
    parser.add_argument("--only", choices=sorted(_PARTS), nargs="*", default=list(_PARTS))
    given = parser.parse_args()

    def once(_: int) -> Mapping[str, float]:
        figures: dict[str, float] = {}
        for name in given.only:
            amount = {"throughput": given.deliveries, "slow": given.slow_seconds}.get(name, given.seconds)
            found = uvloop.run(_PARTS[name](amount))
            print(f"{name}: {', '.join(f'{k} {v:.3f}' for k, v in found.items())}", file=sys.stderr, flush=True)
            figures |= found
        return figures

    spreads = repeat(given.repeats, once)
    report("notify", spreads, [key for key in KEYS if key in spreads])


async def throughput(deliveries: float) -> dict[str, float]:
    """Events of ten types to 200 endpoints, each event due to 20 of them, published as fast as Kafka takes them."""
    async with notify_lab() as lab:
        await lab.subscribe(
            [lab.arrivals.url(n) for n in range(_ENDPOINTS)], [[_TYPES[n % len(_TYPES)]] for n in range(_ENDPOINTS)]
        )
        await _deliver(lab, _events(200), 0)  # connections are opened, statements prepared
        events, before = _events(int(deliveries) * len(_TYPES) // _ENDPOINTS), len(lab.arrivals.all)
        cpu, begun = lab.cpu_s(), time.time()
        await _deliver(lab, events, before)
        taken, after = time.time() - begun, lab.cpu_s()
        wanted = len(events) * _ENDPOINTS // len(_TYPES)
        delivered = await lab.count("SELECT count(*) FROM notifier_deliveries WHERE status = 'delivered'")
        if delivered != len(lab.arrivals.all):
            raise RuntimeError(f"{delivered} are recorded as delivered, {len(lab.arrivals.all)} were received")
        return {
            "deliveries_per_s": wanted / taken,
            **{f"{name}_cpu_us_per_delivery": (after[name] - cpu[name]) * 1e6 / wanted for name in after},
            "notifier_rss_mb": lab.process.memory_info().rss / 2**20,
        }


async def latency(seconds: float) -> dict[str, float]:
    """100 alerts a second to a webhook: from before publishing until the receiver has the request."""
    async with notify_lab() as lab:
        await lab.subscribe([lab.arrivals.url(0)], [["lab.alert.*"]])
        await publish_alerts(lab, 50, per_s=50)
        await lab.arrivals.count(50, PATIENCE_S)
        cpu = lab.cpu_s()["notifier"]
        sent = await publish_alerts(lab, int(100 * seconds), per_s=100)
        await lab.arrivals.count(50 + len(sent), PATIENCE_S)
        waits = waits_ms(lab.arrivals.all, sent)
        return {
            "alert_to_received_p50_ms": statistics.median(waits),
            "alert_to_received_p95_ms": p95(waits),
            "alert_to_received_max_ms": max(waits),
            "cpu_share_at_100_per_s": (lab.cpu_s()["notifier"] - cpu) / seconds,
            "alerts_not_received": float(len(sent) - len(waits)),
        }


async def slow_endpoint(seconds: float) -> dict[str, float]:
    """Five alerts a second to 48 endpoints: their p95 by themselves, then with a dead and a slow one beside them."""
    async with notify_lab() as lab:
        await lab.subscribe([lab.arrivals.url(n) for n in range(48)], [["lab.alert.*"]] * 48)
        without = await _p95_of_healthy(lab, seconds)
        bad = [lab.arrivals.url(48, "/slow"), f"http://{lab.dead_host}/hook"]
        await lab.subscribe(bad, [["lab.alert.*"]] * 2)
        beside = await _p95_of_healthy(lab, seconds)
    return {"others_p95_ms": without, "others_beside_p95_ms": beside, "slow_endpoint_p95_ratio": beside / without}


async def _p95_of_healthy(lab: NotifyLab, seconds: float) -> float:
    before = len(_healthy(lab))
    first = await publish_alerts(lab, 25, per_s=5)
    sent = await publish_alerts(lab, int(5 * seconds), per_s=5)
    return p95(waits_ms(await _healthy_came(lab, before + 48 * (len(first) + len(sent))), sent))


async def _deliver(lab: NotifyLab, events: Sequence[Event], before: int) -> None:
    """Publish them and wait until all of their deliveries are received and recorded."""
    wanted = before + len(events) * _ENDPOINTS // len(_TYPES)
    await lab.publisher.publish_many(events)
    if (came := await lab.arrivals.count(wanted, PATIENCE_S)) != wanted:
        raise RuntimeError(f"{came} of {wanted} deliveries came")
    await eventually(lambda: lab.count(PENDING), until=lambda pending: pending == 0)


def _events(count: int) -> list[Event]:
    examples = [decode_attributes(json.loads(next((_EXAMPLES / t).glob("*.json")).read_text("utf-8"))) for t in _TYPES]
    return [
        examples[n % len(examples)].model_copy(update={"id": str(uuid.uuid4()), "time": datetime.now(UTC)})
        for n in range(count)
    ]


async def _healthy_came(lab: NotifyLab, wanted: int) -> list[Arrival]:
    """What came at the healthy endpoints, once it is so much."""
    moved, seen = time.monotonic(), -1
    while True:
        healthy = _healthy(lab)
        if len(healthy) >= wanted:
            return healthy
        if len(healthy) != seen:
            moved, seen = time.monotonic(), len(healthy)
        if time.monotonic() - moved > PATIENCE_S:
            raise RuntimeError(f"{seen} of {wanted} came at the healthy endpoints")
        await asyncio.sleep(0.05)


def _healthy(lab: NotifyLab) -> list[Arrival]:
    return [arrival for arrival in lab.arrivals.all if not arrival.path.startswith("/slow")]


_PARTS = {"throughput": throughput, "latency": latency, "slow": slow_endpoint, "storm": storm}

if __name__ == "__main__":
    main()
