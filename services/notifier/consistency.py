"""What is wrong between the parts of `config/notify.yaml`: names of nothing, names used twice, rings of fall-backs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.notifier.config import NotifyConfig, Route

Fault = tuple[tuple[int | str, ...], str]


def faults(config: NotifyConfig) -> Iterator[Fault]:
    """What is wrong between the parts of the file, each with its place."""
    yield from _repeated(config)
    known = {receiver.name for receiver in config.receivers}
    intervals = {interval.name for interval in config.time_intervals}
    yield from _fallbacks(config)
    for place, route, inherited in walk(config.routes):
        for number, step in enumerate(route.escalate):
            if unknown := [name for name in step.receivers if name not in known]:
                yield (*place, "escalate", number), f"escalates to the unknown receiver {unknown[0]}"
        if not route.receivers and not inherited:
            yield place, f"route {route.name} has no receivers, nor has a route around it"
        for field, names, kind, there in (
            ("receivers", route.receivers, "receiver", known),
            ("mute", route.mute, "time interval", intervals),
            ("active", route.active, "time interval", intervals),
        ):
            if unknown := [name for name in names if name not in there]:
                said = ", ".join(sorted(there)) or "none"
                yield (*place, field), f"route {route.name} names the unknown {kind} {unknown[0]}; there are: {said}"


def walk(
    routes: list[Route], place: tuple[int | str, ...] = (), inherited: bool = False
) -> Iterator[tuple[tuple[int | str, ...], Route, bool]]:
    """Every route of the tree with its place in the file and whether a route around it has receivers."""
    for number, route in enumerate(routes):
        here = (*place, "routes", number)
        yield here, route, inherited
        yield from walk(route.routes, here, inherited or bool(route.receivers))


def _fallbacks(config: NotifyConfig) -> Iterator[Fault]:
    after = {receiver.name: receiver.fallback for receiver in config.receivers if receiver.fallback}
    names = {receiver.name for receiver in config.receivers}
    for number, receiver in enumerate(config.receivers):
        seen, name = [receiver.name], receiver.fallback
        while name is not None and name not in seen:
            seen.append(name)
            name = after.get(name)
        place = ("receivers", number, "fallback")
        if name is not None:
            yield place, f"goes round in a ring: {' → '.join([*seen, name])}"
        elif receiver.fallback and receiver.fallback not in names:
            yield place, f"names the unknown receiver {receiver.fallback}"


def _repeated(config: NotifyConfig) -> Iterator[Fault]:
    named: list[tuple[str, list[tuple[tuple[int | str, ...], str]]]] = [
        ("receiver", [(("receivers", n), r.name) for n, r in enumerate(config.receivers)]),
        ("route", [(place, route.name) for place, route, _ in walk(config.routes)]),
        ("time interval", [(("time_intervals", n), i.name) for n, i in enumerate(config.time_intervals)]),
        ("inhibition", [(("inhibit", n), i.name) for n, i in enumerate(config.inhibit)]),
    ]
    for kind, entries in named:
        seen: set[str] = set()
        for place, name in entries:
            if name in seen:
                yield (*place, "name"), f"the {kind} name {name} is used twice; choose another"
            seen.add(name)
