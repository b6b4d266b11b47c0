"""The notifier killed, refused, kept waiting: a short version of `make faults-notify`."""

from __future__ import annotations

from pathlib import Path

from tests.faults.notifier.bundled import killed_with_bundles
from tests.faults.notifier.kills import killed_at_each_step
from tests.faults.notifier.lab import fault_lab
from tests.faults.notifier.mail import odd_mail_server
from tests.faults.notifier.odd_answers import odd_answers
from tests.faults.notifier.outages import restarted
from tests.faults.notifier.signatures import signed_deliveries
from tests.faults.notifier.toll import Tolls


def lost(tolls: Tolls) -> dict[str, int]:
    """The cases that lost something."""
    return {case: toll.lost for case, toll in tolls.items() if toll.lost}


async def test_no_alert_is_lost_where_the_notifier_is_killed_at_a_step_of_its_work(tmp_path: Path) -> None:
    async with fault_lab(tmp_path) as lab:
        assert not lost(await killed_at_each_step(lab, 300, steps=("stored", "sent")))
        assert not lost(await killed_with_bundles(lab, 100, steps=("group-sent",)))


async def test_each_odd_answer_has_its_end_in_the_ledger(tmp_path: Path) -> None:
    async with fault_lab(tmp_path) as lab:
        await odd_answers(lab)
        assert not lost(await odd_mail_server(lab))
        await signed_deliveries(lab)


async def test_no_alert_is_lost_where_postgres_is_killed(tmp_path: Path) -> None:
    async with fault_lab(tmp_path) as lab:
        assert not lost(await restarted(lab, "postgres", 200))
