"""Events about what became of notifications."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.envelope import EventData


class _Notification(EventData):
    topic: ClassVar[str] = "lab.notifications"

    delivery_id: str = Field(description="Id of the delivery in the notifier's ledger")
    channel: str = Field(description="email, slack, teams, webhook")
    target: str = Field(description="Name of the receiver or subscription; never its address")
    event_id: str = Field(description="The event that was to be delivered")
    fingerprint: str | None = Field(default=None, description="Of the alert; none for other events")
    attempt: int = Field(ge=1, description="How many attempts were made, this one included")
    status_code: int | None = Field(default=None, description="HTTP or SMTP status of the answer; none without one")
    reason: str | None = Field(default=None, description="Why it was given up; none if it was delivered")

    def subject(self) -> str:
        return self.fingerprint or self.event_id


class NotificationDelivered(_Notification):
    """The receiver accepted it."""

    type: ClassVar[str] = "lab.notification.delivered.v1"


class NotificationFailed(_Notification):
    """It was given up; the reason says why."""

    type: ClassVar[str] = "lab.notification.failed.v1"
