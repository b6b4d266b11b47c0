"""Deliveries that go past the routes: to subscriptions that want an event, and to the owner of one that was switched
off. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from schemas.envelope import Event
from services.notifier.matching import Matchers, matches
from services.notifier.planned import Alert, Planned, planned_for, subscription_key

# What a target's key begins with where an alert goes to the address in its label `owner`, beside the routes.
OWNER = "owner:"
OWNED_RULE = "subscription-disabled"


@dataclass(frozen=True)
class Wish:
    """A subscription as far as routing cares. `refused` says why it takes nothing now; with `match` it wants such
    alerts only. `ordering`: `all` events one after the other, those of a `subject`, or `none`. `paced`: it takes so
    many a minute, so that deliveries wait for their turn."""

    id: str
    name: str
    event_types: tuple[str, ...]
    refused: str | None = None
    match: Matchers | None = None
    ordering: str = "none"
    paced: bool = False


def subscribed(event: Event, alert: Alert | None, wishes: Sequence[Wish]) -> list[Planned]:
    """The deliveries of an event that go past the routes: to subscriptions that want it, and to the owner of one that
    was switched off."""
    return [*(_subscribed(event, wish) for wish in wishes if wishes_for(wish, event, alert)), *_to_owner(event, alert)]


def wants(event_types: Sequence[str], type_: str) -> bool:
    """Whether a subscription to these types or patterns (`lab.run.*`, `*`) wants the type."""
    return any(fnmatchcase(type_, pattern) for pattern in event_types)


def wishes_for(wish: Wish, event: Event, alert: Alert | None) -> bool:
    """Whether the subscription wants this event."""
    if not wants(wish.event_types, event.type):
        return False
    return wish.match is None or (alert is not None and matches(alert, wish.match))


def _to_owner(event: Event, alert: Alert | None) -> list[Planned]:
    """The mail to the owner of a subscription that was switched off, whatever the routes say."""
    owner = alert.labels.get("owner", "") if alert is not None and alert.rule == OWNED_RULE else ""
    return [planned_for(event, "email", owner, f"{OWNER}{owner}")] if "@" in owner else []


def _subscribed(event: Event, wish: Wish) -> Planned:
    key = subscription_key(wish.id)
    order = {"all": "*", "subject": event.subject or event.type}.get(wish.ordering)
    planned = planned_for(
        event, "webhook", wish.name, key, subscription_id=wish.id, suppressed=wish.refused, queued=wish.paced
    )
    return replace(planned, order_key=order)
