"""The whole demonstration against a running lab: subscribe, tell both stories, count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from datalab.local.addresses import LabAddresses
from datalab.local.demo.eventlog import EventLog
from datalab.local.demo.proof import Claim, Hop, Proof
from datalab.local.demo.samples import Sample, broken_prices, real_prices
from datalab.local.demo.story import Teller, Witnesses
from datalab.local.demo.witnesses import Inbox, Notifier, Prefect, until
from schemas.catalog import topics

SUBSCRIPTION = "demo"
SUBSCRIBED = ["lab.dataset.updated.v1", "lab.run.completed.v1"]
_READ = [spec.name for spec in topics() if spec.name not in ("lab.s3-notifications", "lab.dead-letters")]


async def demonstrate(
    lab: LabAddresses,
    show: Callable[[str | Hop], None],
    *,
    samples: Sequence[Sample] | None = None,
    patience_s: float = 180.0,
) -> Proof:
    """Tell the story of each sample (default: the good file, then the broken one), one after the other.

    `show` is given each heading and each hop as it is seen; `patience_s` is how long each hop may take.
    """
    samples = (real_prices(), broken_prices()) if samples is None else samples
    # The broker's clock stamps the records; a little overlap costs nothing.
    since = datetime.now(UTC) - timedelta(seconds=2)
    stamp = since.strftime("%Y%m%dT%H%M%S%f")[:-3]
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=10, trust_env=False))
        events = await stack.enter_async_context(EventLog(lab.kafka, _READ, since))
        inbox, notifier = Inbox(client, lab.inbox), Notifier(client, lab.notifier)
        await _subscribe(notifier, inbox)
        witnesses = Witnesses(events, Prefect(client, lab.prefect_api), inbox, patience_s)
        tellers = []
        for sample in samples:
            name = "broken" if sample.broken_rows else "stocks"
            show(f"{sample.title}: {sample.rows:,} rows{_broken(sample)}")
            teller = Teller(sample.title, sample, witnesses, show)
            target = lab.landing / "stocks" / f"{name}{stamp}.csv"
            await (teller.tell_broken(target) if sample.broken_rows else teller.tell_good(target))
            tellers.append(teller)
        for teller in tellers:
            await teller.conclude()
        proof = Proof([teller.story for teller in tellers], links=lab.pages)
        await _balance(proof, notifier, events)
        return proof


def _broken(sample: Sample) -> str:
    if not sample.broken_rows:
        return ""
    return f", {sample.broken_rows} broken and {sample.repeated_rows} repeated on purpose"


async def _subscribe(notifier: Notifier, inbox: Inbox) -> None:
    secret = await notifier.subscribe(SUBSCRIPTION, f"{inbox.url}/webhooks/{SUBSCRIPTION}", SUBSCRIBED)
    await inbox.keep_secret(SUBSCRIPTION, secret)


async def _balance(proof: Proof, notifier: Notifier, events: EventLog) -> None:
    async def settled() -> dict[str, Any] | None:
        ledger = await notifier.ledger()
        return ledger if ledger["pending"] == 0 else None

    try:
        ledger = await until(settled, 20)
    except TimeoutError:
        ledger = await notifier.ledger()
    ended = sum(ledger[state] for state in ("delivered", "pending", "suppressed", "dead"))
    proof.claims += [
        Claim("notifications: due = delivered + pending + suppressed + dead", ledger["due"], ended),
        Claim("notifications dead", 0, ledger["dead"]),
    ]
    seen = events.all(lambda _: True)
    proof.totals = {
        "events": dict(sorted(Counter(item.event.type for item in seen).items())),
        "notifications": {state: ledger[state] for state in ("due", "delivered", "pending", "suppressed", "dead")},
    }
