"""More messages than a target takes: its rate is kept, critical ones first, the rest become a digest, none vanishes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from services.notifier.delivery import Delivery, Result
from services.notifier.replaying import Which
from services.notifier.retries import Attempted, Retry
from tests.integration.notifier.desk import Desk, desk

SLOW = """
receivers:
  - {name: chat, channel: slack, url: "https://chat.example/x", rate: 1/m, burst: 1, digest_after: 1h}
routes:
  - {name: all, receivers: chat}
"""
GROUPED = SLOW.replace("receivers: chat}", "receivers: chat, group_by: [dataset], group_wait: 5m}")


async def digest_of(at: Desk) -> Delivery:
    """The digest that comes once the oldest message has waited too long; others leave before it, one at a time."""
    for _ in range(4):
        await at.pass_time(3601)
        sent = await at.finish()
        assert len(sent) <= 1
        if sent and sent[0].notice and sent[0].notice.kind == "digest":
            return sent[0]
    raise AssertionError("no digest came")


async def test_a_storm_becomes_single_messages_at_the_rate_and_then_a_digest(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, "routes:\n  - {name: all, receivers: mail}\n") as at:
        await at.write(SLOW)
        await at.fire(*(f"info{number}" for number in range(3000)), severity="info")
        await at.fire("worst", severity="critical")
        sent = await at.finish()
        for _ in range(4):
            await at.pass_time(60)
            got = await at.finish()
            assert len(got) == 1, "one a minute"
            sent += got
        assert at.name("worst") in [one.event.data["fingerprint"] for one in sent[:2]]
        digest = await digest_of(at)
        told = [row for row in await at.rows() if row.fingerprint]
        statuses = Counter(row.status for row in told)
        assert set(statuses) == {"delivered", "suppressed"}
        assert statuses.total() == 3001
        assert digest.notice is not None
        assert digest.notice.total == statuses["suppressed"] > 2900
        assert {row.reason for row in told if row.status == "suppressed"} == {f"told in the digest {digest.id}"}


async def test_an_end_is_told_to_those_who_heard_of_the_alert_in_a_digest(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, "routes:\n  - {name: all, receivers: mail}\n") as at:
        await at.write(SLOW)
        await at.fire("a", "b", "c")
        await digest_of(at)
        [ended] = await at.resolve("c")
        await at.pass_time(60)
        assert [one.event.id for one in await at.finish()] == [ended.id]


async def test_what_a_digest_swallowed_shares_its_death_and_its_replay(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, "routes:\n  - {name: all, receivers: mail}\n") as at:
        await at.write(SLOW)
        await at.fire("a", "b", "c")
        await at.finish()
        await at.pass_time(3601)
        [digest] = await at.finish("HTTP 404: no_service")
        assert digest.notice is not None
        assert digest.notice.kind == "digest"
        swallowed = [row for row in await at.rows() if row.carried_by == digest.id]
        assert len(swallowed) == 2
        assert {row.status for row in swallowed} == {"dead"}
        assert all(row.reason == f"the digest {digest.id} could not be told: HTTP 404: no_service" for row in swallowed)
        await at.ledger.replay(Which(id=digest.id))
        assert [one.id for one in await at.finish()] == [digest.id]
        swallowed = [row for row in await at.rows() if row.carried_by == digest.id]
        assert {(row.status, row.reason) for row in swallowed} == {("suppressed", f"told in the digest {digest.id}")}


async def test_groups_in_a_digest_are_counted_by_their_alerts(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, "routes:\n  - {name: all, receivers: mail}\n") as at:
        await at.write(GROUPED)
        for dataset in ("one", "two", "three"):
            await at.fire(*(f"{dataset}{number}" for number in range(5)), labels={"dataset": dataset})
        await at.pass_time(301)
        [first] = await at.finish()
        assert first.notice is not None
        assert first.notice.total == 5
        digest = await digest_of(at)
        assert digest.notice is not None
        assert (digest.notice.kind, digest.notice.total) == ("digest", 10)
        statuses = Counter(row.status for row in await at.rows() if row.fingerprint)
        assert statuses == {"delivered": 5, "suppressed": 10}


async def test_a_target_that_asks_for_a_pause_is_sent_nothing_meanwhile(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, "routes:\n  - {name: all, receivers: mail}\n") as at:
        await at.write(SLOW)
        await at.fire("a", "b")
        [first] = await at.claim()
        asked = Result(False, "HTTP 429", 429, retry_after_s=300)
        await at.ledger.record([Attempted(first, asked, Retry(300.0), 0.0)])
        await at.pass_time(100)
        assert await at.claim() == []
        await at.pass_time(201)
        assert [one.id for one in await at.finish()] == [first.id]
        await at.pass_time(60)
        assert len(await at.finish()) == 1
