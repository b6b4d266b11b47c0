"""Who is told, when, and why not: groups, silences, acknowledgements, escalations, fall-backs, reminders, ends. On a
real database, whose rows survive any process; time is moved, not waited for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from services.notifier.dispatch.flushing import flush_one
from services.notifier.matching import Matchers
from services.notifier.silences import NewSilence
from tests.integration.notifier.desk import RECEIVERS, desk

PLAIN = "routes:\n  - {name: all, receivers: [mail, pager], repeat_interval: 4h}\n"
GROUPED = "routes:\n  - {name: all, receivers: [mail, pager], group_by: [rule], group_wait: 30s, group_interval: 5m}\n"


def silence(matchers: dict[str, Any], *, for_: timedelta = timedelta(hours=1)) -> NewSilence:
    now = datetime.now(UTC)
    return NewSilence(Matchers.model_validate(matchers), now - timedelta(seconds=5), now + for_, "ana", "planned work")


def statuses(rows: list[Any]) -> list[tuple[str, str, str]]:
    return [(row.target, row.kind, row.status) for row in rows]


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


async def test_a_silence_keeps_back_and_its_end_tells(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, PLAIN) as at:
        made = await at.silences.add(silence({"labels": {"dataset": "stocks"}}), "key")
        assert (await at.silences.add(silence({"rule": "other"}), "key")).id == made.id
        await at.fire("a")
        await at.fire("b", labels={"dataset": "orders"})
        assert {one.event.data["fingerprint"] for one in await at.finish()} == {at.name("b")}
        reasons = {row.reason for row in await at.rows("a")}
        assert all(reason.startswith("silenced by ana until") and made.id in reason for reason in reasons)
        await at.silences.expire(made.id, "ana")
        await at.dispatcher.look()
        late = await at.finish()
        assert sorted((one.target, one.notice.note.kind) for one in late if one.notice and one.notice.note) == [
            ("mail", "late"),
            ("pager", "late"),
        ]
        await at.resolve("a")
        assert len(await at.finish()) == 2


async def test_an_alert_that_ends_within_a_silence_is_not_told_at_all(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, PLAIN) as at:
        made = await at.silences.add(silence({"rule": "*"}), None)
        await at.fire("a")
        await at.resolve("a")
        await at.silences.expire(made.id, "ana")
        await at.dispatcher.look()
        assert await at.claim() == []
        ends = [row.reason for row in await at.rows("a") if row.kind == "resolved"]
        assert all(reason.startswith("was not told that it fires: silenced by ana") for reason in ends)
        assert len(ends) == 2


async def test_an_inhibited_alert_is_told_when_its_cause_is_over(database_url: str, tmp_path: Path) -> None:
    rule = "inhibit:\n  - {name: cause, source: {rule: down}, target: {rule: quality-*}, equal: [dataset]}\n"
    async with desk(database_url, tmp_path, PLAIN + rule) as at:
        await at.fire("cause", rule="down", summary="Spark is down")
        await at.fire("effect")
        assert {one.event.data["fingerprint"] for one in await at.finish()} == {at.name("cause")}
        assert all(row.reason.startswith("inhibited by cause: Spark is down") for row in await at.rows("effect"))
        await at.resolve("cause")
        await at.finish()
        await at.pass_time(61)
        late = await at.finish()
        assert {(one.target, one.event.data["fingerprint"]) for one in late} == {
            ("mail", at.name("effect")),
            ("pager", at.name("effect")),
        }


async def test_what_is_inhibited_while_it_gathers_is_told_when_its_cause_is_over(
    database_url: str, tmp_path: Path
) -> None:
    rule = "inhibit:\n  - {name: cause, source: {rule: down}, target: {rule: quality-*}, equal: [dataset]}\n"
    async with desk(database_url, tmp_path, GROUPED + rule) as at:
        await at.fire("effect")
        await at.fire("cause", rule="down", summary="Spark is down")
        await at.pass_time(31)
        mails = [one for one in await at.finish() if one.target == "mail"]
        assert {one.event.data["fingerprint"] for one in mails} == {at.name("cause")}
        [kept] = [row for row in await at.rows("effect") if row.target == "mail"]
        assert (kept.status, kept.reason.startswith("inhibited by cause: Spark is down")) == ("suppressed", True)
        await at.resolve("cause")
        await at.pass_time(301)
        await at.finish()
        await at.pass_time(301)
        late = [one for one in await at.finish() if one.target == "mail"]
        assert {one.event.data["fingerprint"] for one in late} == {at.name("effect")}


async def test_what_is_muted_while_it_gathers_is_told_when_that_is_over(database_url: str, tmp_path: Path) -> None:
    always = """
time_intervals:
  - {name: always, time_zone: UTC, times: [{from: "00:00", to: "24:00"}]}
"""
    async with desk(database_url, tmp_path, GROUPED) as at:
        await at.fire("a")
        await at.write(RECEIVERS + always + GROUPED.replace("mail, pager]", "mail, pager], mute: [always]"))
        await at.pass_time(31)
        assert {one.target for one in await at.finish()} == {"pager"}
        assert [row.status for row in await at.rows("a") if row.target == "mail"] == ["suppressed"]
        await at.write(RECEIVERS + GROUPED)
        await at.pass_time(61)
        await at.pass_time(31)
        assert {one.target for one in await at.finish()} == {"mail"}


async def test_a_reminder_comes_in_its_turn_until_somebody_acknowledges(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, PLAIN) as at:
        await at.fire("a")
        await at.finish()
        await at.pass_time(4 * 3600 - 60)
        assert await at.finish() == []
        await at.pass_time(61)
        reminded = await at.finish()
        assert {(one.target, one.notice.note.number) for one in reminded if one.notice and one.notice.note} == {
            ("mail", 1),
            ("pager", 1),
        }
        acked = await at.acknowledgements.take(at.name("a"), "bia", "looking")
        assert acked is not None
        assert (acked.acked_by, acked.ack_comment) == ("bia", "looking")
        other = await at.acknowledgements.take(at.name("a"), "caio", "me too")
        assert other is not None
        assert other.acked_by == "bia"
        await at.pass_time(9 * 3600)
        assert await at.finish() == []
        await at.acknowledgements.give_back(at.name("a"))
        await at.pass_time(4 * 3600 + 1)
        assert len(await at.finish()) == 2


ESCALATED = """
routes:
  - name: all
    receivers: mail
    escalate:
      - {after: 15m, receivers: chat}
      - {after: 30m, receivers: pager}
"""


async def test_what_nobody_acknowledges_escalates_and_its_end_follows(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, ESCALATED) as at:
        await at.fire("a")
        await at.finish()
        await at.pass_time(15 * 60 + 1)
        [step] = await at.finish()
        assert step.target == "chat"
        assert step.notice is not None
        assert step.notice.note is not None
        assert (step.notice.note.kind, step.notice.note.after_s) == ("escalation", 900)
        await at.acknowledgements.take(at.name("a"), "bia", "")
        await at.pass_time(3600)
        assert await at.finish() == []
        await at.resolve("a")
        assert {one.target for one in await at.finish()} == {"mail", "chat"}


async def test_an_alert_that_is_given_back_escalates_again_after_its_time(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, ESCALATED) as at:
        await at.fire("a")
        await at.finish()
        await at.pass_time(15 * 60 + 1)
        assert [one.target for one in await at.finish()] == ["chat"]
        await at.acknowledgements.take(at.name("a"), "bia", "")
        await at.pass_time(3600)
        await at.acknowledgements.give_back(at.name("a"))
        await at.acknowledgements.give_back(at.name("a"))
        await at.pass_time(30 * 60 - 60)
        assert [one.target for one in await at.finish()] == []
        await at.pass_time(61)  # the step that was taken is not taken again, the next one is
        assert [one.target for one in await at.finish()] == ["pager"]


async def test_what_was_silenced_and_acknowledged_is_told_once_it_is_given_back(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, PLAIN) as at:
        made = await at.silences.add(silence({"rule": "*"}), None)
        await at.fire("a")
        await at.acknowledgements.take(at.name("a"), "bia", "")
        await at.silences.expire(made.id, "ana")
        await at.dispatcher.look()
        assert await at.finish() == []
        await at.acknowledgements.give_back(at.name("a"))
        await at.dispatcher.look()
        assert {one.target for one in await at.finish()} == {"mail", "pager"}


async def test_the_fall_back_is_told_what_a_receiver_could_not_be(database_url: str, tmp_path: Path) -> None:
    receivers = RECEIVERS.replace("burst: 1000}\n  - {name: pager", "burst: 1000, fallback: pager}\n  - {name: pager")
    async with desk(database_url, tmp_path, PLAIN) as at:
        await at.write(receivers + "routes:\n  - {name: all, receivers: chat}\n")
        await at.fire("a")
        [failed] = await at.finish("HTTP 404: no_service")
        [handed] = await at.finish()
        assert (failed.target, handed.target) == ("chat", "pager")
        assert handed.notice is not None
        assert handed.notice.note is not None
        assert (handed.notice.note.receiver, handed.notice.note.reason) == ("chat", "HTTP 404: no_service")
        await at.resolve("a")
        assert [one.target for one in await at.finish()] == ["pager"]
        await at.fire("b")
        await at.finish("HTTP 503", retry=True)
        assert await at.claim() == []
        await at.pass_time(301)
        assert [one.target for one in await at.finish() if one.notice and one.notice.note] == ["pager"]


async def test_the_books_balance_after_all_of_it(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, GROUPED) as at:
        await at.fire(*(f"n{number}" for number in range(20)))
        await at.pass_time(31)
        await at.resolve(*(f"n{number}" for number in range(0, 20, 2)))
        await at.pass_time(400)
        for _ in range(4):
            await at.finish()
        rows = await at.rows()
        assert len(rows) == 60
        reported = await at.outcomes()
        assert len(reported) == 60  # also of what a group's message carried
        assert {event.data["attempt"] for event in reported} == {1}
        assert {row.status for row in rows} == {"delivered"}
