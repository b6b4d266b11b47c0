"""What is over and old leaves the ledger; what is due, unreported or told of an alert that fires stays, however old."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, text, update

from datalab.store.tables.notifier import AlertRow, AttemptRow, DeliveryRow
from datalab.store.tables.notifier_alerting import GroupRow, SilenceRow, ToldRow
from services.notifier.pruning import Pruning
from services.notifier.records import Records
from tests.integration.notifier.desk import GROUPED, PLAIN, Desk, desk, silence

DAY_S = 86_400.0
OLD_S = 91 * DAY_S


async def test_what_is_over_and_old_goes_with_its_attempts_and_what_is_new_stays(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, GROUPED) as at:
        await at.silences.add(silence({"labels": {"flow": "nothing-is-called-so"}}), "a-key")
        await _over(at, "old")
        await at.pass_time(OLD_S)
        await _over(at, "new")
        await _report(at)
        await Pruning(at.sessions, timedelta(days=90)).prune()
        assert {row.fingerprint for row in await at.rows()} == {at.name("new")}
        assert await _left(at, AlertRow.fingerprint) == {at.name("new")}
        assert await _left(at, SilenceRow.id) == set()
        assert await _left(at, AttemptRow.delivery_id) == {row.id for row in await at.rows() if row.attempts}
        for channel, counts in (await Records(at.sessions).ledger()).items():
            assert counts.pop("due") == sum(counts.values()), channel


async def test_what_an_alert_that_fires_was_told_stays_until_it_is_over_and_old_itself(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, GROUPED) as at:
        await at.fire("a")
        await at.pass_time(31)
        assert await at.finish()
        await _report(at)
        await at.pass_time(OLD_S)
        pruning = Pruning(at.sessions, timedelta(days=90))
        before = [row.id for row in await at.rows()]
        await pruning.prune()
        assert [row.id for row in await at.rows()] == before
        assert await _left(at, GroupRow.group_key) != set()

        # Its end reaches those who were told so long ago, and only then is it new.
        await at.resolve("a")
        await _tell(at, 301)
        await _report(at)
        await pruning.prune()
        assert {(row.kind, row.status) for row in await at.rows()} == {
            ("repeat", "delivered"),
            ("resolved", "delivered"),
        }
        assert await _left(at, AlertRow.status) == {"resolved"}
        await at.pass_time(OLD_S)
        await pruning.prune()
        for column in (DeliveryRow.id, AttemptRow.id, AlertRow.episode, GroupRow.group_key, ToldRow.delivery_id):
            assert await _left(at, column) == set(), column


async def test_what_is_due_or_unreported_stays(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, PLAIN) as at:
        await _over(at, "unreported")
        await at.fire("due")
        await at.resolve("due")
        await at.pass_time(OLD_S)
        await Pruning(at.sessions, timedelta(days=90)).prune()
        kept = {row.fingerprint for row in await at.rows()}
        assert kept == {at.name("unreported"), at.name("due")}
        assert await _left(at, AlertRow.fingerprint) == kept


async def test_a_delivery_that_one_to_come_needs_stays_with_it(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, PLAIN) as at:
        await _over(at, "a")
        await _report(at)
        async with at.sessions.begin() as session:
            # Sent again by hand: the end of an alert, which answers the message that it fires.
            again = update(DeliveryRow).where(DeliveryRow.answers.is_not(None), DeliveryRow.target == "mail")
            await session.execute(again.values(status="pending", finished_at=None, outcome_published=False))
        await at.pass_time(OLD_S)
        await Pruning(at.sessions, timedelta(days=90)).prune()
        assert [(row.target, row.kind, row.status) for row in await at.rows()] == [
            ("mail", "firing", "delivered"),
            ("mail", "resolved", "pending"),
        ]


async def test_rows_that_somebody_changes_are_left_for_the_next_time(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, PLAIN) as at:
        await _over(at, "a", "b")
        await _report(at)
        await at.pass_time(OLD_S)
        pruning = Pruning(at.sessions, timedelta(days=90))
        async with at.sessions.begin() as session:
            held = select(DeliveryRow.id).where(DeliveryRow.fingerprint == at.name("a"))
            assert (await session.scalars(held.with_for_update())).all()
            await pruning.prune()
            assert {row.fingerprint for row in await at.rows()} == {at.name("a")}
        await pruning.prune()
        assert await at.rows() == []


async def _over(at: Desk, *names: str) -> None:
    """Alerts that fire and end, of which everybody was told."""
    await at.fire(*names)
    await _tell(at, 31)
    await at.resolve(*names)
    await _tell(at, 301)


async def _tell(at: Desk, after_s: float) -> None:
    """All that is due in so many seconds is sent, and what waited for that in its turn."""
    await at.pass_time(after_s)
    assert await at.finish()
    while await at.finish():
        pass


async def _report(at: Desk) -> None:
    """Every outcome is on Kafka."""
    async with at.sessions.begin() as session:
        await session.execute(text("UPDATE notifier_deliveries SET outcome_published = true WHERE status <> 'pending'"))


async def _left(at: Desk, column: object) -> set[object]:
    async with at.sessions() as session:
        return set((await session.scalars(select(column))).all())
