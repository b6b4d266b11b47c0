"""The words of the domain: a target, a delivery on its way, and what came of an attempt. Values only, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from schemas.envelope import Event
from services.notifier.bundles import Notice

ChannelName = Literal["email", "slack", "teams", "webhook", "kafka", "apprise"]
# Channels that programs read: they get each event by itself, never a group of alerts.
MACHINES = frozenset({"webhook", "kafka"})
# Deliveries of these events are not reported as events again: that would never end.
UNREPORTED = ("lab.notification.", "lab.subscription.")


@dataclass(frozen=True)
class Target:
    """Where a delivery goes. `unavailable` says why it cannot be used now; addresses and secrets are never shown."""

    name: str
    channel: ChannelName
    url: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    recipients: tuple[str, ...] = ()
    unavailable: str | None = None
    rate_s: float | None = None  # messages a second; None: as many as there are
    burst: int = 1
    digest_after_s: float = 60.0
    fallback: str | None = None
    language: str | None = None  # the notifier's own unless said
    block: str | None = None  # where the address is kept in Prefect
    fallback_after_s: float = 300.0

    @property
    def paced(self) -> bool:
        """Whether messages wait for their turn."""
        return self.rate_s is not None


@dataclass(frozen=True)
class Delivery:
    """A claimed delivery. `attempt` counts all claims (and guards this one), `tries` those since the last replay."""

    id: str
    event: Event
    channel: str
    target: str
    target_key: str
    subscription_id: str | None
    attempt: int
    tries: int
    notice: Notice | None = None
    order_key: str | None = None  # of those with the same key the target gets one after the other


@dataclass(frozen=True)
class Result:
    """What an attempt came to. `permanent`: trying again cannot help; `gone`: the receiver wants no more, ever;
    `answer`: the beginning of what it answered, as one line, without what makes its address secret."""

    delivered: bool
    reason: str | None = None
    status_code: int | None = None
    retry_after_s: float | None = None
    permanent: bool = False
    gone: bool = False
    answer: str | None = None


class Channel(Protocol):
    """A way to reach a target. Returns what came of it; may raise OSError or TimeoutError, which count as retry."""

    async def send(self, delivery: Delivery, target: Target) -> Result:
        """Send once. The same delivery sent twice is recognisable at the receiver by the delivery's id."""

    async def preview(self, delivery: Delivery, target: Target) -> dict[str, Any]:
        """What would be sent, as the receiver would get it; without address and secrets."""
