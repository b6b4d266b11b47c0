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
from bench.notify_lab import NotifyLab, notify_lab
from schemas.alerts import AlertFiring
from schemas.codec import decode_attributes
from schemas.envelope import Event, new_event
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
_PATIENCE_S = 30.0
_PENDING = "SELECT count(*) FROM notifier_deliveries WHERE status = 'pending'"


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--deliveries", type=int, default=15_000, help="of the first measurement")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each of the others")
    parser.add_argument("--only", choices=sorted(_PARTS), nargs="*", default=list(_PARTS))
    given = parser.parse_args()

    def once(_: int) -> Mapping[str, float]:
        figures: dict[str, float] = {}
        for name in given.only:
            amount = given.deliveries if name == "throughput" else given.seconds
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
        await _alerts(lab, 50, per_s=50)
        await lab.arrivals.count(50, _PATIENCE_S)
        cpu = lab.cpu_s()["notifier"]
        sent = await _alerts(lab, int(100 * seconds), per_s=100)
        await lab.arrivals.count(50 + len(sent), _PATIENCE_S)
        waits = _waits_ms(lab.arrivals.all, sent)
        return {
            "alert_to_received_p50_ms": statistics.median(waits),
            "alert_to_received_p95_ms": _p95(waits),
            "alert_to_received_max_ms": max(waits),
            "cpu_share_at_100_per_s": (lab.cpu_s()["notifier"] - cpu) / seconds,
            "alerts_not_received": float(len(sent) - len(waits)),
        }


async def slow_endpoint(seconds: float) -> dict[str, float]:
    """Five alerts a second to 50 endpoints: the p95 of 48 of them, with the other two dead and slow, and without."""
    without = await _beside([], seconds)
    beside = await _beside(["dead", "slow"], seconds)
    return {"others_p95_ms": without, "others_beside_p95_ms": beside, "slow_endpoint_p95_ratio": beside / without}


async def _beside(bad: Sequence[str], seconds: float) -> float:
    async with notify_lab() as lab:
        urls = [lab.arrivals.url(n) for n in range(48)]
        if "slow" in bad:
            urls.append(lab.arrivals.url(48, "/slow"))
        if "dead" in bad:
            urls.append(f"http://{lab.dead_host}/hook")
        await lab.subscribe(urls, [["lab.alert.*"]] * len(urls))
        first = await _alerts(lab, 25, per_s=5)
        sent = await _alerts(lab, int(5 * seconds), per_s=5)
        wanted = 48 * (len(first) + len(sent))
        healthy = await _healthy(lab, wanted)
        return _p95(_waits_ms(healthy, sent))


async def storm(seconds: float) -> dict[str, float]:
    """A thousand alerts a second to three endpoints and to the routes; every one must be found in the ledger."""
    async with notify_lab({"ALERT_WEBHOOK_URL": "{receiver}"}) as lab:
        await lab.subscribe([lab.arrivals.url(n) for n in range(3)], [["lab.alert.*"]] * 3)
        await _alerts(lab, 10, per_s=10)
        memory = lab.process.memory_info().rss
        begun = time.time()
        sent = await _alerts(lab, int(1000 * seconds), per_s=1000)
        published = time.time() - begun
        pending = await _drained(lab)
        return {
            "storm_alerts": float(len(sent)),
            "storm_unaccounted": float(await _unaccounted(lab, list(sent))),
            "storm_publishing_s": published,
            "storm_drained_s": time.time() - begun,
            "storm_still_pending": float(pending),
            "storm_memory_growth_mb": (lab.process.memory_info().rss - memory) / 2**20,
        }


async def _unaccounted(lab: NotifyLab, events: Sequence[str]) -> int:
    """Alerts without a row for each subscription, and deliveries that the ledger and the receiver disagree about."""
    short = await lab.count(
        "SELECT count(*) FROM unnest($1::text[]) AS e(id) WHERE (SELECT count(*) FROM notifier_deliveries d "
        "WHERE d.event_id = e.id AND d.subscription_id IS NOT NULL) <> 3",
        list(events),
    )
    recorded = await lab.database.fetch(
        "SELECT id FROM notifier_deliveries WHERE status = 'delivered' AND subscription_id IS NOT NULL"
    )
    received = {arrival.delivery_id for arrival in lab.arrivals.all}
    return short + sum(row["id"] not in received for row in recorded)


async def _drained(lab: NotifyLab) -> int:
    """Wait until nothing is pending or nothing moves any more; how many are pending then."""
    pending, moved = -1, time.monotonic()
    while pending != 0 and time.monotonic() - moved < _PATIENCE_S:
        now = await lab.count(_PENDING)
        if now != pending:
            pending, moved = now, time.monotonic()
        await asyncio.sleep(0.5)
    return pending


async def _deliver(lab: NotifyLab, events: Sequence[Event], before: int) -> None:
    """Publish them and wait until all of their deliveries are received and recorded."""
    wanted = before + len(events) * _ENDPOINTS // len(_TYPES)
    await lab.publisher.publish_many(events)
    if (came := await lab.arrivals.count(wanted, _PATIENCE_S)) != wanted:
        raise RuntimeError(f"{came} of {wanted} deliveries came")
    await eventually(lambda: lab.count(_PENDING), until=lambda pending: pending == 0)


async def _alerts(lab: NotifyLab, count: int, *, per_s: int) -> dict[str, float]:
    """Publish alerts at an even rate; returns when each was about to be published, by its event's id."""
    sent: dict[str, float] = {}
    tasks = set()
    begun = time.monotonic()
    for number in range(count):
        if (early := begun + number / per_s - time.monotonic()) > 0:
            await asyncio.sleep(early)
        event = _alert(number)
        sent[event.id] = time.time()
        tasks.add(asyncio.create_task(lab.publisher.publish(event)))
    await asyncio.gather(*tasks)
    return sent


def _alert(number: int) -> Event:
    name = uuid.uuid4().hex
    data = AlertFiring(
        fingerprint=name,
        episode=f"{name}-1",
        rule="quality-gate-failed",
        severity="critical" if number % 100 == 0 else "warning",
        summary=f"Quality gate failed for dataset {number}",
        description="37 of 12,154 rows broke the rule close > 0 and were quarantined.",
        labels={"dataset": f"dataset-{number}", "flow": "medallion-etl"},
        starts_at=datetime.now(UTC),
    )
    return new_event(data, source="bench/monitor")


def _events(count: int) -> list[Event]:
    examples = [decode_attributes(json.loads(next((_EXAMPLES / t).glob("*.json")).read_text("utf-8"))) for t in _TYPES]
    return [
        examples[n % len(examples)].model_copy(update={"id": str(uuid.uuid4()), "time": datetime.now(UTC)})
        for n in range(count)
    ]


async def _healthy(lab: NotifyLab, wanted: int) -> list[Arrival]:
    """What came at the healthy endpoints, once it is so much."""
    moved, seen = time.monotonic(), -1
    while True:
        healthy = [arrival for arrival in lab.arrivals.all if not arrival.path.startswith("/slow")]
        if len(healthy) >= wanted:
            return healthy
        if len(healthy) != seen:
            moved, seen = time.monotonic(), len(healthy)
        if time.monotonic() - moved > _PATIENCE_S:
            raise RuntimeError(f"{seen} of {wanted} came at the healthy endpoints")
        await asyncio.sleep(0.05)


def _waits_ms(arrivals: Sequence[Arrival], sent: Mapping[str, float]) -> list[float]:
    return [(a.at - sent[a.event_id]) * 1000 for a in arrivals if a.event_id in sent]


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


_PARTS = {"throughput": throughput, "latency": latency, "slow": slow_endpoint, "storm": storm}

if __name__ == "__main__":
    main()
