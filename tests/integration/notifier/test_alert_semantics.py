"""Who is told once, and of which end: repeats, groups, several processes. On a real database, whose rows survive any
process; time is moved, not waited for."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import text

from services.notifier.dispatch.flushing import flush_one
from tests.integration.notifier.desk import GROUPED, PLAIN, RECEIVERS, desk, silence


async def test_an_end_goes_to_exactly_those_who_were_told_whatever_the_routes_are_now(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, PLAIN) as at:
        await at.fire("a")
        await at.finish()
        await at.write(RECEIVERS + "routes:\n  - {name: other, receivers: chat}\n")
        await at.silences.add(silence({"rule": "*"}), None)
        [ended] = await at.resolve("a")
        sent = await at.finish()
        assert sorted((one.target, one.event.id) for one in sent) == [("mail", ended.id), ("pager", ended.id)]
        await at.silences.expire((await at.silences.list("active", None, 1))[0].id, "ana")


async def test_another_process_tells_the_end(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, GROUPED) as at:
        await at.fire("a")
        await at.pass_time(31)
        await at.finish()
    async with desk(database_url, tmp_path, PLAIN, after=at) as later:
        await later.resolve("a")
        await later.pass_time(301)
        assert {one.target for one in await later.finish()} == {"mail", "pager"}


async def test_the_same_event_again_and_the_same_alert_again_are_not_told_twice(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, PLAIN) as at:
        first = await at.fire("a")
        await at.ledger.store([(first[0], None)], at.in_force.routing)
        await at.fire("a", episode="1")  # the same episode in another event
        await at.fire("a", episode="2", starts_at="2026-11-25T00:00:00Z")  # no end was heard in between
        rows = await at.rows("a")
        assert [row.status for row in rows].count("pending") == 2
        again = [row for row in rows if row.status == "suppressed"]
        assert len(again) == 4
        assert all(row.reason.startswith("fires already") for row in again)
        await at.finish()
        await at.pass_time(4 * 3600 + 1)
        assert {one.target for one in await at.finish()} == {"mail", "pager"}  # reminded of the second as of the first
        [ended] = await at.resolve("a", episode="2")
        assert {one.event.id for one in await at.finish()} == {ended.id}


async def test_a_repeated_end_is_one_end(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, PLAIN) as at:
        await at.fire("a")
        await at.finish()
        [event] = await at.resolve("a")
        count = len(await at.rows("a"))
        await at.resolve("a")  # another event that says the same
        rows = await at.rows("a")
        assert [row.reason for row in rows[count:]] == ["nobody was told that it fires"]
        assert {one.event.id for one in await at.finish()} == {event.id}


async def test_nobody_hears_the_end_of_what_could_not_be_told(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, PLAIN) as at:
        await at.fire("a")
        await at.resolve("a")  # waits behind the beginning
        await at.finish("HTTP 404")
        assert [one.event.id for one in await at.claim()] == []
        ends = [row for row in await at.rows("a") if row.kind == "resolved"]
        assert {(row.status, row.reason) for row in ends} == {("suppressed", "was not told that it fires: HTTP 404")}


async def test_what_gathers_in_a_group_is_one_message_and_shares_its_end(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, GROUPED) as at:
        await at.fire("a", "b")
        await at.fire("c", severity="critical")
        assert {one.target for one in await at.finish()} == {"pager"}  # machines get each by itself
        await at.pass_time(31)
        [message] = await at.finish()
        assert message.target == "mail"
        assert message.notice is not None
        assert message.notice.labels == {"rule": "quality-gate-failed"}
        assert message.notice.counts == {"critical": 1, "error": 2}
        assert message.notice.alerts[0].data["fingerprint"] == at.name("c")
        mails = [row for row in await at.rows() if row.target == "mail"]
        assert {row.status for row in mails} == {"delivered"}
        assert {row.carried_by for row in mails} == {None, message.id}
        await at.fire("d")
        await at.resolve("a")
        await at.pass_time(60)
        assert {one.target for one in await at.finish()} == {"pager"}
        await at.pass_time(241)
        [message] = [one for one in await at.finish() if one.target == "mail"]
        assert message.notice is not None
        assert message.notice.counts == {"error": 1, "resolved": 1}


async def test_two_instances_announce_a_group_once(database_url: str, tmp_path: Path) -> None:
    async with (
        desk(database_url, tmp_path, GROUPED) as one,
        desk(database_url, tmp_path, GROUPED, after=one) as other,
    ):
        await one.fire(*(f"x{number}" for number in range(40)))
        await one.finish()
        async with one.sessions.begin() as session:
            await session.execute(text("UPDATE notifier_groups SET due_at = now() WHERE due_at IS NOT NULL"))
        await asyncio.gather(*(each.dispatcher.look() for each in (one, other) for _ in range(4)))
        messages = [each for each in await one.claim() if each.target == "mail"]
        assert len(messages) == 1
        assert messages[0].notice is not None
        assert messages[0].notice.total == 40


async def test_a_process_that_dies_while_it_flushes_leaves_the_group_due(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, GROUPED) as at:
        await at.fire("a", "b")
        await at.finish()
        async with at.sessions.begin() as session:
            await session.execute(text("UPDATE notifier_groups SET due_at = now() WHERE due_at IS NOT NULL"))
        async with at.sessions() as session:  # ends without a commit, as a connection does that breaks
            assert await flush_one(session, at.in_force.routing)
        assert await at.claim() == []
        await at.dispatcher.look()
        [message] = await at.finish()
        assert message.notice is not None
        assert message.notice.total == 2
