"""What silences, causes and mute times keep back, and what is told when they are over."""

from __future__ import annotations

from pathlib import Path

from tests.integration.notifier.desk import GROUPED, PLAIN, RECEIVERS, desk, silence


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
