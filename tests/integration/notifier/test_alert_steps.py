"""What is told later: reminders, escalations, fall-backs, until somebody acknowledges."""

from __future__ import annotations

from pathlib import Path

from tests.integration.notifier.desk import GROUPED, PLAIN, RECEIVERS, desk, silence


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
