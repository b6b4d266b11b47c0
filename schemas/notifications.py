"""Events about what became of notifications."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime, Field

from schemas.alerts import Severity
from schemas.envelope import EventData


class _About(EventData):
    topic: ClassVar[str] = "lab.notifications"

    delivery_id: str = Field(description="Id of the delivery in the notifier's ledger")
    channel: str = Field(description="email, slack, teams, webhook, kafka, apprise")
    target: str = Field(description="Name of the receiver or subscription; never its address")
    event_id: str = Field(description="The event that was to be delivered")
    fingerprint: str | None = Field(default=None, description="Of the alert; none for other events")

    def subject(self) -> str:
        return self.fingerprint or self.event_id


class _Notification(_About):
    attempt: int = Field(ge=1, description="How many attempts were made, this one included")
    status_code: int | None = Field(default=None, description="HTTP or SMTP status of the answer; none without one")
    reason: str | None = Field(default=None, description="Why it was given up; none if it was delivered")


class NotificationDelivered(_Notification):
    """The receiver accepted it."""

    type: ClassVar[str] = "lab.notification.delivered.v1"


class NotificationFailed(_Notification):
    """It was given up; the reason says why."""

    type: ClassVar[str] = "lab.notification.failed.v1"


class NotificationAnnounced(_About):
    """The message itself, for a receiver on Kafka: an alert, as the other channels tell it."""

    type: ClassVar[str] = "lab.notification.announced.v1"

    reason: str = Field(description="firing, resolved, repeat, late, escalation, fallback or test")
    rule: str = Field(description="Name of the rule that found it")
    severity: Severity = Field(description="How bad it is")
    title: str = Field(description="One line for people, in the receiver's language")
    description: str = Field(default="", description="More for people")
    note: str = Field(default="", description="Why it is told again, or to this receiver, in the receiver's language")
    labels: dict[str, str] = Field(default_factory=dict, description="What identifies the alert")
    starts_at: AwareDatetime = Field(description="Since when it is wrong")
    ends_at: AwareDatetime | None = Field(default=None, description="Since when it is well again")
