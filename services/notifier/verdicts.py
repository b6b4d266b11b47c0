"""What becomes of a firing alert at each receiver: told, or not told, why, and until when. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.notifier.config import Inhibition, NotifyConfig
from services.notifier.delivery import Target
from services.notifier.matching import Judged, Matchers, matches
from services.notifier.routes import Lead, decide

# Mute times and inhibitions end without an event: whether they still hold is looked at again after so long.
LOOK_AGAIN = timedelta(minutes=1)


@dataclass(frozen=True)
class Source:
    """A firing alert that may inhibit others."""

    fingerprint: str
    rule: str
    severity: str
    labels: Mapping[str, str]
    summary: str = ""


@dataclass(frozen=True)
class Silence:
    """A silence that is in force."""

    id: str
    matchers: Matchers
    author: str
    comment: str
    ends_at: datetime


@dataclass(frozen=True)
class Circumstances:
    """What a decision depends on beside the alert and the file: the time, what fires already, what is silenced."""

    now: datetime
    sources: Sequence[Source] = ()
    silences: Sequence[Silence] = ()


@dataclass(frozen=True)
class Hush:
    """Why nobody is told now, and when that is to be looked at again; None: it holds until something is changed."""

    reason: str
    look_at: datetime | None = None


@dataclass(frozen=True)
class Verdict:
    """What a route means for one receiver: told, or hushed."""

    receiver: str
    lead: Lead
    hush: Hush | None = None

    @property
    def suppressed(self) -> str | None:
        """Why it is not told; None if it is."""
        return self.hush.reason if self.hush else None


def judge(
    alert: Judged, config: NotifyConfig, targets: Mapping[str, Target], circumstances: Circumstances
) -> list[Verdict]:
    """What becomes of the firing alert at each receiver that a route leads to, each once, in order."""
    hush_all = hushed(alert, config, circumstances)
    found: dict[str, Verdict] = {}
    for lead in decide(alert, config.routes)[1]:
        hush = hush_all or out_of_hours(lead, config, circumstances.now)
        for name in _with_fallbacks(lead, targets):
            unavailable = targets[name].unavailable
            verdict = Verdict(name, lead, Hush(unavailable) if unavailable else hush)
            if name not in found or (found[name].hush and not verdict.hush):
                found[name] = verdict
    return list(found.values())


def _with_fallbacks(lead: Lead, targets: Mapping[str, Target]) -> Iterator[str]:
    """The receivers; after one that cannot be reached at all its fall-back."""
    for receiver in lead.receivers:
        name: str | None = receiver
        while name is not None:
            yield name
            name = targets[name].fallback if targets[name].unavailable else None


def inhibiting(alert: Judged, rule: Inhibition, sources: Sequence[Source]) -> Source | None:
    """The firing alert because of which the rule keeps this one from being told; never the alert itself."""
    if not matches(alert, rule.target):
        return None
    for source in sources:
        same = all(source.labels.get(name, "") == alert.labels.get(name, "") for name in rule.equal)
        if same and source.fingerprint != alert.fingerprint and matches(source, rule.source):
            return source
    return None


def out_of_hours(lead: Lead, config: NotifyConfig, now: datetime) -> Hush | None:
    """Why the route tells nobody at this time."""
    for name in lead.mute:
        if (interval := config.interval(name)).holds(now):
            return _muted(f"{interval.local(now):%H:%M} in {interval.time_zone}, within {name}", now)
    if lead.active and not any(config.interval(name).holds(now) for name in lead.active):
        interval = config.interval(lead.active[0])
        return _muted(f"{interval.local(now):%H:%M} in {interval.time_zone}, outside {' and '.join(lead.active)}", now)
    return None


def hushed(alert: Judged, config: NotifyConfig, circumstances: Circumstances) -> Hush | None:
    """Why nobody is told of the alert now, whatever the route."""
    silences = [silence for silence in circumstances.silences if matches(alert, silence.matchers)]
    if silences:
        last = max(silences, key=lambda silence: silence.ends_at)
        until = f"{last.ends_at:%Y-%m-%d %H:%M} UTC"
        return Hush(f"silenced by {last.author} until {until}: {last.comment} ({last.id})", last.ends_at)
    for rule in config.inhibit:
        if source := inhibiting(alert, rule, circumstances.sources):
            reason = f"inhibited by {rule.name}: {source.summary or source.rule} ({source.fingerprint}) is firing"
            return Hush(reason, circumstances.now + LOOK_AGAIN)
    return None


def _muted(when: str, now: datetime) -> Hush:
    return Hush(f"muted: it is {when}", now + LOOK_AGAIN)
