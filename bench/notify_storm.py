"""A storm for `bench.notify`: 10,000 alerts in 10 s, to a subscription and to three receivers that have limits.

Counted are rows of the ledger and what came at the receiver: whether every alert is accounted for, whether a target got
more than its limit allows, whether critical alerts came before others, and whether memory grew.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import yaml

from bench.hook_receiver import Arrival
from bench.notify_alerts import p95, publish_alerts
from bench.notify_lab import PATIENCE_S, PENDING, NotifyLab, notify_lab

_ALERTS, _PER_S = 10_000, 1000
# Messages a second, and how many at once: of Slack and Teams what these allow, and a program that takes 200.
_LIMITS = {"chat": (1, 1), "team": (4, 4), "program": (200, 40)}
_ROWS = """
SELECT d.id, d.event_id, d.target, d.kind, d.rank, d.status, d.reason, c.status AS carrier,
  extract(epoch FROM d.created_at)::float8 AS stored_at
FROM notifier_deliveries d LEFT JOIN notifier_deliveries c ON c.id = d.carried_by
"""


async def storm(_: float) -> dict[str, float]:
    """A thousand alerts a second, one of a hundred critical; the program gets every other one."""
    async with notify_lab(config=_config) as lab:
        await lab.subscribe([lab.arrivals.url(0)], [["lab.alert.*"]])
        await publish_alerts(lab, 10, per_s=10)
        async with _memory(lab) as memory_mb:
            begun = time.time()
            sent = await publish_alerts(lab, _ALERTS, per_s=_PER_S)
            published, half = time.time() - begun, memory_mb[-1]
            pending = await _drained(lab)
            drained = time.time() - begun
        rows = await lab.database.fetch(_ROWS)
    return {
        "storm_alerts": float(len(sent)),
        "storm_unaccounted": float(_unaccounted(rows, sent, lab.arrivals.all)),
        "storm_over_limit": float(sum(_over_limit(lab.arrivals.all, name) for name in _LIMITS)),
        **_order(rows, sent, lab.arrivals.all),
        "storm_digests": float(sum(row["kind"] == "digest" for row in rows)),
        "storm_publishing_s": published,
        "storm_stored_s": max(row["stored_at"] for row in rows if row["event_id"] in sent) - begun,
        "storm_drained_s": drained,
        "storm_still_pending": float(pending),
        "storm_memory_growth_mb": max(memory_mb) - memory_mb[0],
        "storm_memory_growth_after_publishing_mb": max(memory_mb) - half,
    }


def _config(lab_url: str) -> str:
    """notify.yaml: each receiver has a path of its own at the receiver."""
    paces = {name: {"rate": f"{rate}/s", "burst": burst} for name, (rate, burst) in _LIMITS.items()}
    channels = {"chat": "slack", "team": "teams", "program": "webhook"}
    receivers = [
        {"name": name, "channel": channel, "url": f"{lab_url}/{name}", "digest_after": "15s", **paces[name]}
        for name, channel in channels.items()
    ]
    for one in receivers:
        if one["channel"] == "webhook":
            one["digest_after"] = "10m"
    routes = [
        {"name": "even", "match": {"labels": {"half": "even"}}, "receivers": list(_LIMITS)},
        {"name": "odd", "receivers": ["chat", "team"]},
    ]
    return yaml.safe_dump({"receivers": receivers, "routes": routes})


@asynccontextmanager
async def _memory(lab: NotifyLab) -> AsyncIterator[list[float]]:
    """The notifier's resident memory in MiB, twice a second until the block ends."""
    seen = [lab.process.memory_info().rss / 2**20]

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.5)
            seen.append(lab.process.memory_info().rss / 2**20)

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _drained(lab: NotifyLab) -> int:
    """Wait until nothing is pending or nothing moves any more; how many are pending then."""
    pending, moved = -1, time.monotonic()
    while pending != 0 and time.monotonic() - moved < PATIENCE_S:
        now = await lab.count(PENDING)
        if now != pending:
            pending, moved = now, time.monotonic()
        await asyncio.sleep(0.5)
    return pending


def _unaccounted(rows: Sequence[Any], sent: Mapping[str, float], arrivals: Sequence[Arrival]) -> int:
    """Alerts without a row for each of their targets, rows without a named end, and deliveries that the ledger and the
    receiver disagree about."""
    received = {arrival.delivery_id for arrival in arrivals}
    targets = dict.fromkeys(sent, 0)
    faults = 0
    for row in rows:
        if row["event_id"] in targets:
            targets[row["event_id"]] += 1
        ended = row["status"] == "delivered" or (row["reason"] is not None and row["status"] in ("suppressed", "dead"))
        swallowed = (row["reason"] or "").startswith("told in the digest")
        faults += not ended or (row["status"] == "delivered" and row["id"] not in received)
        faults += swallowed and row["carrier"] != "delivered"
    wanted = {id_: 4 if number % 2 == 0 else 3 for number, id_ in enumerate(sent)}
    return faults + sum(targets[id_] != wanted[id_] for id_ in sent)


def _over_limit(arrivals: Sequence[Arrival], target: str) -> int:
    """How many requests more than the limit allows came to the target within some second."""
    rate, burst = _LIMITS[target]
    times = [arrival.at for arrival in arrivals if arrival.path == f"/{target}"]
    first, most = 0, 0
    for last, at in enumerate(times):
        while times[first] < at - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return max(0, most - rate - burst)


def _order(rows: Sequence[Any], sent: Mapping[str, float], arrivals: Sequence[Arrival]) -> dict[str, float]:
    """How long critical alerts and the others took to the program, from before they were published and from when they
    were in its queue; how many of the single messages to people were critical ones."""
    known = {row["id"]: row for row in rows}
    waits: dict[bool, list[float]] = {True: [], False: []}
    queued: dict[bool, list[float]] = {True: [], False: []}
    single = {True: 0, False: 0}
    for arrival in arrivals:
        row = known.get(arrival.delivery_id)
        if row is None or row["event_id"] not in sent:
            continue
        critical = row["rank"] == 0
        if row["target"] == "program":
            waits[critical].append((arrival.at - sent[row["event_id"]]) * 1000)
            queued[critical].append((arrival.at - row["stored_at"]) * 1000)
        elif row["target"] in _LIMITS:
            single[critical] += 1
    return {
        "storm_critical_p95_ms": p95(waits[True]),
        "storm_others_p50_ms": statistics.median(waits[False]),
        "storm_critical_in_queue_p95_ms": p95(queued[True]),
        "storm_others_in_queue_p50_ms": statistics.median(queued[False]),
        "storm_singles_critical": float(single[True]),
        "storm_singles_others": float(single[False]),
    }
