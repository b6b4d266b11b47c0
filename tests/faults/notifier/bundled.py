"""The notifier is killed while it makes one message of many alerts, a group's or a digest's, and while it sends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import yaml

from tests.faults.notifier.kills import killed
from tests.faults.notifier.lab import FaultLab
from tests.faults.notifier.receiver import CHAT
from tests.faults.notifier.toll import Toll, Tolls
from tests.support.killed_notifier import BUNDLE_STEPS
from tests.support.polling import eventually

_GROUPS = 20
# An alert was told if its own message was, or the one that carries it, or the digest that counts it.
_TOLD = """
SELECT d.event_id, d.id, d.carried_by FROM notifier_deliveries d LEFT JOIN notifier_deliveries c ON c.id = d.carried_by
WHERE d.event_id = ANY($1) AND d.channel = 'slack' AND (d.status = 'delivered'
  OR (d.status = 'suppressed' AND d.reason = 'told in the digest ' || c.id AND c.status = 'delivered'))
"""


async def killed_with_bundles(lab: FaultLab, alerts: int, steps: Sequence[str] = tuple(BUNDLE_STEPS)) -> Tolls:
    """So many alerts for each kill, to a chat that takes five messages a second."""
    return {f"killed: {BUNDLE_STEPS[step]}": await _killed_at(lab, step, alerts) for step in steps}


async def _killed_at(lab: FaultLab, step: str, alerts: int) -> Toll:
    environ = {"DATALAB_CONFIG_DIR": str(_config(lab))}
    repeated = lab.alerts.repeated
    sent = await _publish(lab, step, alerts)
    await killed(lab, f"{step}:{2 if step.startswith('group') else 1}", **environ)
    await lab.balance()
    async with lab.ready(**environ):
        await eventually(_stored(lab, sent), until=lambda stored: stored == len(sent), within_s=120)
        await lab.settled(within_s=120)
    lab.alerts.judge()
    told = await lab.sql(_TOLD, sent)
    messages = {row["carried_by"] or row["id"] for row in told}
    assert messages <= set(lab.alerts.messages), "a message is recorded as delivered that never came"
    lost = len(set(sent) - {row["event_id"] for row in told})
    return Toll(1, alerts, lost, lab.alerts.repeated - repeated, f"told in {len(messages)} messages")


def _stored(lab: FaultLab, sent: Sequence[str]) -> Callable[[], Awaitable[int]]:
    """Asks how many of these alerts have a row for the chat."""

    async def stored() -> int:
        (row,) = await lab.sql(
            "SELECT count(DISTINCT event_id) AS n FROM notifier_deliveries WHERE event_id = ANY($1) "
            "AND channel = 'slack'",
            sent,
        )
        return int(row["n"])

    return stored


async def _publish(lab: FaultLab, step: str, alerts: int) -> list[str]:
    if step.startswith("digest"):
        return await lab.publish(alerts, way="single")
    share = alerts // _GROUPS
    sent: list[str] = []
    for number in range(_GROUPS):
        sent += await lab.publish(share, way="grouped", group=f"{step}-{number}")
    return sent


def _config(lab: FaultLab) -> Path:
    folder = lab.home / "bundles-config"
    folder.mkdir(exist_ok=True)
    chat = {"channel": "slack", "url": f"{lab.alerts.url}{CHAT}"}
    grouped = {"group_by": ["group"], "group_wait": "1s", "group_interval": "1s"}
    content = {
        "receivers": [
            {"name": "groups", "rate": "10/s", "digest_after": "10m", **chat},
            {"name": "singles", "rate": "5/s", "digest_after": "2s", **chat},
        ],
        "routes": [
            {"name": "grouped", "match": {"labels": {"way": "grouped"}}, "receivers": "groups", **grouped},
            {"name": "single", "receivers": "singles"},
        ],
    }
    (folder / "notify.yaml").write_text(yaml.safe_dump(content), "utf-8")
    return folder
