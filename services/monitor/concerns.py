"""Which rules each event of a batch concerns, and about which trouble. Pure; `quiet` stores what there is to store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import NamedTuple

from services.monitor.identity import fingerprint_of
from services.monitor.reading import Occurrence
from services.monitor.rules import AlertRule, AlertRules

Pair = tuple[AlertRule, Occurrence]
Marked = tuple[str, Pair]  # with the fingerprint of the trouble that it is about


class Concerns(NamedTuple):
    """What a batch is about. `ends` are of rules that remember none and that nothing in the batch can raise: they
    matter only to an alert that fires. Of all others `marked` has each pair in its order, `bad` the troubles that
    have to be decided about, and `well` those with nothing but ends: the rule, and the newest time it was well."""

    marked: Sequence[Marked]
    ends: Sequence[Pair]
    bad: Set[str]
    well: Mapping[str, tuple[str, datetime]]


def concerns_of(rules: AlertRules, occurrences: Sequence[Occurrence]) -> Concerns:
    """Nearly every run starts and ends without a trouble of its own, and to look that up for each would cost as much
    as all the rest."""
    types = {o.event.type for o in occurrences}
    silent = {rule.name for rule in rules.rules if not rule.remembers_ends and types.isdisjoint(rule.on)}
    marked, ends = list[Marked](), list[Pair]()
    for occurrence in occurrences:
        for rule in rules.matching(occurrence.event.type):
            if rule.concerns(occurrence.data):
                pair = rule, occurrence
                if rule.name in silent:
                    ends.append(pair)
                else:
                    marked.append((fingerprint_of(rule, occurrence.event), pair))
    bad = {print_ for print_, (rule, o) in marked if not (rule.remembers_ends and o.event.type in rule.resolved_by)}
    return Concerns(marked, ends, bad, _newest(marked, bad))


def _newest(marked: Sequence[Marked], bad: Set[str]) -> dict[str, tuple[str, datetime]]:
    newest: dict[str, tuple[str, datetime]] = {}
    for print_, (rule, (event, _)) in marked:
        if print_ not in bad and (print_ not in newest or newest[print_][1] < event.time):
            newest[print_] = (rule.name, event.time)
    return newest
