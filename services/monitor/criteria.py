"""What each threshold means: the values it may have, and what it makes of an event. Pure; `limits` has the values.

A criterion only holds back: an event that no criterion speaks about raises its alert as the rule says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from schemas.envelope import EventData
from schemas.metrics import MetricSampled
from schemas.quality import QualityFailed
from schemas.runs import RunCrashed, RunFailed, RunLate, RunOverrun
from schemas.services import ServiceDegraded, ServiceHeartbeat
from services.monitor.decide import Sign

DURATION, FAILURES, LEARNED, CLEAR = "max_duration_s", "failures", "learned_factor", "clear_for_s"
SILENT, OBJECTIVE = "silent_s", "objective"
_YEAR_S, _WEEK_S = 31_536_000, 604_800


class Verdict(NamedTuple):
    """What an event is worth. Without a sign it changes nothing; `held` is to be judged again, since time may
    change the answer."""

    sign: Sign | None
    reason: str = ""
    held: bool = False


BAD, GOOD = Verdict(Sign.BAD), Verdict(Sign.GOOD)


@dataclass(frozen=True)
class Circumstances:
    """What a criterion may look at besides the event."""

    now: datetime
    happened_at: datetime
    failures_in_row: int = 1
    # Since when there was somebody to hear; None for an event that was only just heard, perhaps after many others.
    listening_since: datetime | None = None


Judge = Callable[[EventData, float, Circumstances], Verdict]


@dataclass(frozen=True)
class Criterion:
    """One kind of threshold, for rules on the types that it `judges`, or on any."""

    unit: str
    must_be: str
    allows: Callable[[float], bool]
    judges: tuple[type[EventData], ...]
    judge: Judge
    by_deployment: bool = False
    by_subject: bool = False  # overrides in the file, by what was measured
    is_of_any: bool = False

    def fault(self, value: float) -> str | None:
        """None, or why the value cannot be used."""
        return None if self.allows(value) else f"must be {self.must_be}"


def _share_of_rows(data: EventData, limit: float, _: Circumstances) -> Verdict:
    if not isinstance(data, QualityFailed) or limit == 0:
        return BAD
    if any(rule.severity == "fail" and rule.failed_rows for rule in data.rules) or not data.rows_checked:
        return BAD  # the file was refused as a whole, whatever the share of its rows
    if data.replay:
        return Verdict(None, "records out of quarantine are no share of a file, and their file was judged as it came")
    share = data.rows_failed / data.rows_checked
    if share > limit:
        return BAD
    return Verdict(Sign.GOOD, f"{share:.3%} of the rows failed, and {limit:.3%} may")


def _failures(_: EventData, limit: float, around: Circumstances) -> Verdict:
    if around.failures_in_row >= limit:
        return BAD
    return Verdict(None, f"failure {around.failures_in_row} in a row, and the alert comes with {limit:.0f}")


def _lasting(data: EventData, limit: float, around: Circumstances) -> Verdict:
    if not isinstance(data, ServiceDegraded) or limit == 0:
        return BAD
    seconds = (around.now - data.since).total_seconds()
    if seconds >= limit:
        return BAD
    return Verdict(None, f"failing for {max(0.0, seconds):.0f} s, and the alert comes after {limit:.0f} s", held=True)


def _waiting(data: EventData, limit: float, around: Circumstances) -> Verdict:
    if not isinstance(data, RunLate):
        return BAD
    seconds = (around.now - data.occurred_at).total_seconds()
    if seconds >= limit:
        return BAD
    return Verdict(None, f"late for {max(0.0, seconds):.0f} s, and the alert comes after {limit:.0f} s", held=True)


def _silent(data: EventData, limit: float, around: Circumstances) -> Verdict:
    """A heartbeat is good news when it comes, and bad once no other has come for so long. What was missed while nobody
    listened says nothing."""
    if not isinstance(data, ServiceHeartbeat):
        return BAD
    if around.listening_since is None:
        return Verdict(Sign.GOOD, "it is heard of", held=True)
    seconds = (around.now - max(around.happened_at, around.listening_since)).total_seconds()
    if seconds >= limit:
        return BAD
    return Verdict(
        Sign.GOOD, f"silent for {max(0.0, seconds):.0f} s, and the alert comes after {limit:.0f} s", held=True
    )


def _above(data: EventData, limit: float, _: Circumstances) -> Verdict:
    if not isinstance(data, MetricSampled) or data.value > limit:
        return BAD
    return Verdict(Sign.GOOD, f"{data.value:g} is not above {limit:g}")


def _below(data: EventData, limit: float, _: Circumstances) -> Verdict:
    if not isinstance(data, MetricSampled) or data.value < limit:
        return BAD
    return Verdict(Sign.GOOD, f"{data.value:g} is not below {limit:g}")


def _as_it_is(_data: EventData, _limit: float, _: Circumstances) -> Verdict:
    # An overrun exists because `overruns` compared the run with its limit, and `burn` measures by the objective;
    # `settling` holds back ends.
    return BAD


CRITERIA = {
    "max_duration_s": Criterion(
        unit="s",
        must_be=f"> 0 and <= {_YEAR_S}",
        allows=lambda value: 0 < value <= _YEAR_S,
        judges=(RunOverrun,),
        judge=_as_it_is,
        by_deployment=True,
    ),
    "max_failed_ratio": Criterion(
        unit="1",
        must_be=">= 0 and < 1",
        allows=lambda value: 0 <= value < 1,
        judges=(QualityFailed,),
        judge=_share_of_rows,
    ),
    "failures": Criterion(
        unit="runs",
        must_be="a whole number >= 1 and <= 1000",
        allows=lambda value: 1 <= value <= 1000 and value == int(value),
        judges=(RunFailed, RunCrashed),
        judge=_failures,
        by_deployment=True,
    ),
    "for_s": Criterion(
        unit="s",
        must_be=f">= 0 and <= {_WEEK_S}",
        allows=lambda value: 0 <= value <= _WEEK_S,
        judges=(ServiceDegraded,),
        judge=_lasting,
    ),
    "late_s": Criterion(
        unit="s",
        must_be=f">= 0 and <= {_WEEK_S}",
        allows=lambda value: 0 <= value <= _WEEK_S,
        judges=(RunLate,),
        judge=_waiting,
        by_deployment=True,
    ),
    OBJECTIVE: Criterion(
        unit="1",
        must_be=">= 0.5 and < 1",
        allows=lambda value: 0.5 <= value < 1,
        judges=(MetricSampled,),
        judge=_as_it_is,
        by_deployment=True,
    ),
    SILENT: Criterion(
        unit="s",
        must_be=f"> 0 and <= {_YEAR_S}",
        allows=lambda value: 0 < value <= _YEAR_S,
        judges=(ServiceHeartbeat,),
        judge=_silent,
        by_subject=True,
    ),
    "max_value": Criterion(
        unit="as measured",
        must_be="a number",
        allows=lambda _: True,
        judges=(MetricSampled,),
        judge=_above,
        by_subject=True,
    ),
    "min_value": Criterion(
        unit="as measured",
        must_be="a number",
        allows=lambda _: True,
        judges=(MetricSampled,),
        judge=_below,
        by_subject=True,
    ),
    "learned_factor": Criterion(
        unit="times",
        must_be="0, which is off, or >= 1 and <= 1000",
        allows=lambda value: value == 0 or 1 <= value <= 1000,
        judges=(RunOverrun,),
        judge=_as_it_is,
        by_deployment=True,
    ),
    "clear_for_s": Criterion(
        unit="s",
        must_be=f">= 0 and <= {_WEEK_S}",
        allows=lambda value: 0 <= value <= _WEEK_S,
        judges=(),
        judge=_as_it_is,
        is_of_any=True,
    ),
}
