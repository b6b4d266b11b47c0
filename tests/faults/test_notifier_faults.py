"""The notifier killed, refused, kept waiting: a short version of `make faults-notify`."""

from __future__ import annotations

from pathlib import Path

from tests.faults.notifier.answers import odd_answers
from tests.faults.notifier.kills import killed_at_each_step
from tests.faults.notifier.lab import fault_lab
from tests.faults.notifier.mail import odd_mail_server
from tests.faults.notifier.outages import restarted


async def test_no_alert_is_lost_where_the_notifier_is_killed_at_a_step_of_its_work(tmp_path: Path) -> None:
    async with fault_lab(tmp_path) as lab:
        toll = await killed_at_each_step(lab, 120, steps=("store", "stored", "sent", "record"))
    assert toll.lost == 0


async def test_each_odd_answer_has_its_end_in_the_ledger(tmp_path: Path) -> None:
    async with fault_lab(tmp_path) as lab:
        await odd_answers(lab)
        await odd_mail_server(lab)


async def test_no_alert_is_lost_where_postgres_is_killed(tmp_path: Path) -> None:
    async with fault_lab(tmp_path) as lab:
        toll = await restarted(lab, "postgres", 200)
    assert toll.lost == 0
