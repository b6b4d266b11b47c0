"""The long tail of channels, by Apprise: Telegram, PagerDuty, Opsgenie, Discord and some hundred more.

Apprise makes its own connections, past the guard. So an address that names a host of its own is refused, unless that
host is allowed; those of services, whose hosts are Apprise's constants, are not a way to anywhere else.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import apprise

from services.notifier.delivery import Delivery, Result, Target
from services.notifier.messages import AlertMessage, Phrasebook, listed, one_line

_TYPES = {"critical": apprise.NotifyType.FAILURE, "error": apprise.NotifyType.FAILURE}
_BODY_LIMIT = 3500


class AppriseChannel:
    """Sends through one Apprise address per target, so that each has a result of its own."""

    def __init__(self, phrases: Phrasebook, allowed: Collection[str]) -> None:
        self._phrases, self._allowed = phrases, allowed

    async def send(self, delivery: Delivery, target: Target) -> Result:
        """Send once. Apprise tells success or failure and no more; a failure is tried again."""
        service, fault = opened(target.url, self._allowed)
        if service is None:
            return Result(False, fault, permanent=True)
        told = self._told(delivery, target)
        asset = apprise.Apprise()
        asset.add(service)
        sent = await asset.async_notify(
            title=one_line(told.headline, 200), body=self.body(told), notify_type=_type(told), body_format="text"
        )
        if sent:
            return Result(True)
        return Result(False, f"{service.service_name} refused it or did not answer (Apprise tells no more)")

    async def preview(self, delivery: Delivery, target: Target) -> dict[str, Any]:
        """Title and body, and which service they go to."""
        service, fault = opened(target.url, self._allowed)
        told = self._told(delivery, target)
        name = str(service.service_name) if service else None
        return {"service": name, "fault": fault, "title": one_line(told.headline, 200), "body": self.body(told)}

    def body(self, message: AlertMessage) -> str:
        """The text, which most services cut at about 4,000 characters."""
        more = listed(message, self._phrases, _BODY_LIMIT - 800) if message.items else message.description[:2000]
        facts = "\n".join(f"{label}: {one_line(value, 200)}" for label, value in message.facts[:20])
        links = "\n".join(f"{label}: {address}" for label, address in message.links[:4])
        parts = (message.opening, more.strip(), facts, links, message.footer)
        return "\n\n".join(part for part in parts if part)[:_BODY_LIMIT]

    def _told(self, delivery: Delivery, target: Target) -> AlertMessage:
        return self._phrases.in_language(target.language).told(delivery.event, delivery.notice)


def opened(url: str, allowed: Collection[str]) -> tuple[Any | None, str | None]:
    """The service of an address, or why it is not used. Reasons never show the address."""
    service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if service is None:
        return None, "the address is none that Apprise knows; see `apprise --help` for their forms"
    if "host" in type(service).template_tokens:
        named = f"{service.host}:{service.port or (443 if service.secure else 80)}".lower()
        if named not in allowed:
            return None, "refused: the address names a host of its own; add host:port to NOTIFIER_ALLOWED_HOSTS"
    return service, None


def _type(message: AlertMessage) -> apprise.NotifyType:
    if message.resolved:
        return apprise.NotifyType.SUCCESS
    return _TYPES.get(message.severity, apprise.NotifyType.WARNING)
