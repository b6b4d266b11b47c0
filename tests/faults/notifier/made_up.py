"""Requests that are made up from the API's own description, among them those about alerts, silences and receivers."""

from __future__ import annotations

import asyncio

from tests.faults.notifier.lab import FaultLab
from tests.faults.notifier.toll import Toll, Tolls
from tests.support.notifier_requests import ask_notifier
from tests.support.polling import eventually

_EXAMPLES = 60


async def made_up_requests(lab: FaultLab) -> Tolls:
    """None may be answered with 5xx, and the books balance afterwards."""
    chat = {"SLACK_WEBHOOK_URL": f"{lab.alerts.url}/chat"}
    async with lab.ready(**chat) as process:
        await lab.publish(1)
        [alert] = await eventually(lambda: lab.sql("SELECT fingerprint FROM notifier_alerts"), within_s=120)
        met = await asyncio.to_thread(ask_notifier, lab.url, alert["fingerprint"], "team-slack", _EXAMPLES)
        assert process.poll() is None, "the service did not outlive the requests"
        await lab.balance()
    answers = sum(counter.total() for counter in met.values())
    refused = sum(count for counter in met.values() for status, count in counter.items() if status >= 400)
    return {
        "made-up requests to the API": Toll(len(met), 0, 0, 0, f"{answers} requests, {refused} refused, 0 with 5xx")
    }
