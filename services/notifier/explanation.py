"""Why an alert reaches whom: the decision of `routing`, told step by step. Decides nothing itself."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from services.notifier.delivery import MACHINES, Target
from services.notifier.fields import shown_span
from services.notifier.matching import Judged
from services.notifier.routes import Lead, decide
from services.notifier.routing import Routing
from services.notifier.verdicts import Circumstances


class ExplainedAlert(BaseModel):
    """What was judged."""

    fingerprint: str
    episode: str
    rule: str
    severity: str
    summary: str
    labels: dict[str, str]


class ExplainedStep(BaseModel):
    """A route that was looked at."""

    route: str = Field(description="Its name, after those of the routes around it")
    matched: bool
    reason: str


class ExplainedReceiver(BaseModel):
    """What a receiver would hear now."""

    receiver: str
    channel: str
    route: str
    suppressed: str | None = Field(description="Why it is not told; null if it is")
    when: str = Field(description="At once, in its turn, or with others in a group")


class Explanation(BaseModel):
    """Routes in the order in which they were looked at, and what they mean for each receiver."""

    alert: ExplainedAlert
    at: datetime
    steps: list[ExplainedStep]
    receivers: list[ExplainedReceiver]


def explain(alert: Judged, routing: Routing, circumstances: Circumstances) -> Explanation:
    """What would become of the alert if it fired now."""
    steps, _ = decide(alert, routing.config.routes)
    return Explanation(
        alert=ExplainedAlert.model_validate(alert, from_attributes=True),
        at=circumstances.now,
        steps=[ExplainedStep(route=step.path, matched=step.matched, reason=step.reason) for step in steps],
        receivers=[
            ExplainedReceiver(
                receiver=one.receiver,
                channel=routing.targets[one.receiver].channel,
                route=one.lead.path,
                suppressed=one.suppressed,
                when=_when(alert, one.lead, routing.targets[one.receiver]),
            )
            for one in routing.verdicts(alert, circumstances)
        ],
    )


def _when(alert: Judged, lead: Lead, target: Target) -> str:
    turn = f", at most {target.rate_s:g} a second" if target.rate_s is not None else ""
    if lead.grouping is None or target.channel in MACHINES:
        return f"at once{turn}"
    named = " ".join(f"{name}={value}" for name, value in lead.grouping.labels(alert).items()) or "all alerts"
    return f"in the group {named}, after {shown_span(lead.grouping.wait)}{turn}"
