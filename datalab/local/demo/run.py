"""The whole demonstration against a running lab: subscribe, tell the stories, count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx

from datalab.local.addresses import LabAddresses
from datalab.local.demo.eventlog import EventLog
from datalab.local.demo.hops import conclude
from datalab.local.demo.proof import Claim, Hop, Proof
from datalab.local.demo.samples import Sample, broken_prices, jumping_price, real_prices
from datalab.local.demo.stories import BrokenFile, GoodFile, JumpingPrice, Telling
from datalab.local.demo.teller import Teller, Witnesses
from datalab.local.demo.witnesses import Inbox, MLflow, Notifier, Prefect, until
from schemas.catalog import topics

SUBSCRIPTION = "demo"
SUBSCRIBED = ["lab.dataset.updated.v1", "lab.run.completed.v1"]
_FOREIGN = ("lab.s3-notifications", "lab.prefect-events", "lab.dead-letters")
_READ = [spec.name for spec in topics() if spec.name not in _FOREIGN]


class Act(NamedTuple):
    """A story with the file that it starts with; `name` begins the file's name."""

    name: str
    story: type[Telling]
    sample: Callable[[], Sample]


GOOD = Act("stocks", GoodFile, real_prices)
BROKEN = Act("broken", BrokenFile, broken_prices)
JUMP = Act("jump", JumpingPrice, jumping_price)


async def demonstrate(
    lab: LabAddresses,
    show: Callable[[str | Hop], None],
    *,
    acts: Sequence[Act] = (GOOD, BROKEN, JUMP),
    patience_s: float = 180.0,
) -> Proof:
    """Tell the stories one after the other.

    `show` is given each heading and each hop as it is seen; `patience_s` is how long each hop may take.
    """
    # The broker's clock stamps the records; a little overlap costs nothing.
    since = datetime.now(UTC) - timedelta(seconds=2)
    stamp = since.strftime("%Y%m%dT%H%M%S%f")[:-3]
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=10, trust_env=False))
        events = await stack.enter_async_context(EventLog(lab.kafka, _READ, since))
        inbox, notifier = Inbox(client, lab.inbox), Notifier(client, lab.notifier)
        await _subscribe(notifier, inbox)
        asked = Witnesses(events, Prefect(client, lab.prefect_api), MLflow(client, lab.mlflow), inbox, patience_s)
        tellers = []
        for act in acts:
            sample = act.sample()
            show(f"{sample.title}: {sample.rows:,} rows{_broken(sample)}")
            teller = Teller(sample, asked, show)
            await act.story(teller).tell(lab.landing / "stocks" / f"{act.name}{stamp}.csv")
            tellers.append(teller)
        for teller in tellers:
            await conclude(teller)
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
