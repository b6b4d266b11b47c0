"""Runs one test of alert rules in memory: the lab's time goes from moment to moment. See `rule_tests` for the form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from pydantic import ValidationError

from datalab.store.tables.monitor import RunRow
from schemas.catalog import parse_data
from schemas.envelope import Event, event_id, new_event
from schemas.runs import RunOverrun
from services.monitor.advance import Trouble, advance, case_of
from services.monitor.criteria import DURATION
from services.monitor.judgement import bearing
from services.monitor.limits import Limit, RuleLimits
from services.monitor.overruns import overruns
from services.monitor.reading import Occurrence
from services.monitor.rule_tests import (
    BEGIN,
    Expectation,
    GivenEvent,
    RuleTest,
    moments,
    seconds_of,
    timed,
    with_limits,
)
from services.monitor.rules import AlertRule, AlertRules
from services.monitor.runs import ENDED, FAILED, RUNNING, RunState
from services.monitor.wording import Pages, Wording, word

# As the monitor looks each second at what is held back, so does time here, while anything is.
_LOOK = timedelta(seconds=1)
_LONGEST_LOOK = timedelta(hours=1)


class RunsInMemory:
    """The newest state of each run; answers as Postgres does."""

    def __init__(self) -> None:
        self._states: dict[str, RunState] = {}

    def remember(self, state: RunState) -> None:
        """If it is the newest of its run."""
        before = self._states.get(state.run_id)
        if before is None or before.occurred_at <= state.occurred_at:
            self._states[state.run_id] = state

    def running(self) -> list[RunRow]:
        """As `overruns` asks for them."""
        return [
            RunRow(run_id=s.run_id, run_name=s.run_name, flow=s.flow, deployment=s.deployment,
                   running_since=s.start_time or s.occurred_at)
            for s in self._states.values() if s.state_type == RUNNING
        ]  # fmt: skip

    async def failures_in_row(self, flow: str, deployment: str | None, until: datetime) -> int:
        """See `judgement.RunHistory`."""
        same = [s for s in self._states.values() if (s.flow, s.deployment) == (flow, deployment)]
        same = [s for s in same if s.occurred_at <= until]
        completed = max((s.occurred_at for s in same if s.state_type == "COMPLETED"), default=BEGIN - timedelta(days=1))
        return sum(s.state_type in FAILED and s.occurred_at > completed for s in same)

    async def is_over(self, run_id: str, since: datetime) -> bool:
        """See `judgement.RunHistory`."""
        state = self._states.get(run_id)
        return state is not None and state.state_type in ENDED and state.occurred_at > since

    async def has_gone_on(self, run_id: str, since: datetime) -> bool:
        """See `judgement.RunHistory`."""
        return run_id in self._states and self._states[run_id].occurred_at > since


class Trial:
    """One test under way."""

    def __init__(self, rules: AlertRules, test: RuleTest) -> None:
        self._rules, self._test = with_limits(rules, test.limits), test
        self._runs, self._troubles = RunsInMemory(), dict[str, Trouble]()
        self._episodes: dict[str, tuple[AlertRule, dict[str, str], Wording]] = {}
        self._open: set[str] = set()
        self._told: Counter[tuple[str, str]] = Counter()
        self._overran: set[tuple[str, datetime]] = set()

    async def run(self) -> list[str]:
        """What is other than expected, one line each; nothing if all is."""
        faults, now = [], BEGIN
        for at, number, item in moments(self._test):
            for moment in self._looks(now, at):
                await self._look(moment)
            now = at
            if isinstance(item, GivenEvent):
                await self._take(self._event(item, number), now)
            else:
                faults += [f"at {item.at}, {item.rule}: {fault}" for fault in self._compare(item)]
        return faults

    def _event(self, given: GivenEvent, number: int) -> Event:
        at = BEGIN + seconds_of(given.at)
        return Event(id=given.id or f"event-{number}", source="test", type=given.type, time=at, data=timed(given.data))

    def _looks(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """Each second at first; nothing is held back for longer than an hour but by an unusual limit."""
        steps = [since]
        while steps[-1] < until:
            far = steps[-1] - since > _LONGEST_LOOK
            steps.append(min(until, steps[-1] + (timedelta(minutes=1) if far else _LOOK)))
        yield from (later for _, later in pairwise(steps))

    async def _look(self, now: datetime) -> None:
        for threshold in self._rules.thresholds:
            if threshold.name == DURATION:
                limit = Limit(threshold.default, threshold.overrides)
                for overrun in overruns(self._runs.running(), limit, now):
                    await self._overrun(overrun, now)
        for trouble in list(self._troubles.values()):
            if trouble.held is not None:
                await self._take(trouble.held, now, again=True)

    async def _overrun(self, overrun: RunOverrun, now: datetime) -> None:
        key = (overrun.run_id, overrun.start_time)
        if key not in self._overran:
            self._overran.add(key)
            id_ = event_id("overrun", overrun.run_id, overrun.start_time.isoformat())
            await self._take(new_event(overrun, source="test", id=id_, time=overrun.exceeded_at), now)

    async def _take(self, event: Event, now: datetime, *, again: bool = False) -> None:
        try:
            data = parse_data(event)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"{self._test.name}: {event.type}: data.{place}: {first['msg']}") from error
        if isinstance(data, RunState):
            self._runs.remember(data)
        for rule in (rule for rule in self._rules.matching(event.type) if rule.concerns(data)):
            limits = {t.name: Limit(t.default, t.overrides) for t in self._rules.thresholds if t.rule == rule.name}
            held_back = RuleLimits(limits=limits)
            since = BEGIN if again else None
            case = case_of(
                await bearing(rule, Occurrence(event, data), held_back, self._runs, now, listening_since=since)
            )
            seen = case.episode in self._episodes
            trouble = self._troubles.get(case.fingerprint, Trouble())
            step = advance(case, trouble, seen=seen, now=now if again else None)
            self._troubles[case.fingerprint] = step.trouble
            if step.ended is not None:
                self._open.discard(step.ended[0])
                self._told[rule.name, "resolved"] += 1
            if step.flapping is not None:
                self._episodes[step.flapping[0]][2].annotations["flapping"] = str(step.flapping[1])
            if step.begins:
                self._episodes[case.episode] = (rule, case.labels, word(rule, event, case.labels, pages=Pages("")))
                self._open.add(case.episode)
                self._told[rule.name, "fired"] += 1

    def _compare(self, expected: Expectation) -> Iterator[str]:
        if expected.rule not in {rule.name for rule in self._rules.rules}:
            yield "there is no such rule"
        firing = [self._episodes[e] for e in sorted(self._open) if self._episodes[e][0].name == expected.rule]
        found = {tuple(sorted(labels.items())): (rule, wording) for rule, labels, wording in firing}
        wanted = {tuple(sorted(alert.labels.items())): alert for alert in expected.firing}
        for labels in found.keys() - wanted.keys():
            yield f"fires though it should not: {dict(labels)}"
        for labels in wanted.keys() - found.keys():
            yield f"does not fire: {dict(labels)}"
        for labels in wanted.keys() & found.keys():
            (rule, wording), alert = found[labels], wanted[labels]
            pairs: dict[str, tuple[str | None, str | None]] = {
                "severity": (alert.severity, rule.severity),
                "summary": (alert.summary, wording.summary),
            }
            pairs |= {f"annotations.{n}": (text, wording.annotations.get(n)) for n, text in alert.annotations.items()}
            for field, (should, is_) in pairs.items():
                if should is not None and should != is_:
                    yield f"{field} is {is_!r}, not {should!r}, for {dict(labels)}"
        for kind in ("fired", "resolved"):
            should_be = getattr(expected, kind)
            if should_be is not None and should_be != self._told[expected.rule, kind]:
                yield f"{kind} {self._told[expected.rule, kind]} times, not {should_be}"
