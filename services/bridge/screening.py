"""Which rules an event can concern at all, by looking one text up: most events of a busy topic concern none.

It only ever excludes. Whether a condition holds is for the condition itself to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from schemas.envelope import Event
from services.bridge.conditions import AnyOf, Condition, Facts
from services.bridge.conjuncts import Equality, conjuncts, equality

if TYPE_CHECKING:
    from services.bridge.rules import Rule


class Screen:
    """The rules that listen to one event type, by the first field that each wants to be one of some texts."""

    def __init__(self, gates: Sequence[tuple[Rule, Condition]]) -> None:
        self._rules = [rule for rule, _ in gates]
        self._all = AnyOf([gate for _, gate in gates])
        self._unscreened: list[int] = []
        self._by_path: dict[tuple[str, ...], dict[str, list[int]]] = {}
        self._on_path: dict[tuple[str, ...], list[int]] = {}
        for number, (_, gate) in enumerate(gates):
            wanted = _first_equality(gate.source)
            if wanted is None:
                self._unscreened.append(number)
                continue
            self._on_path.setdefault(wanted.path, []).append(number)
            for text in wanted.texts:
                self._by_path.setdefault(wanted.path, {}).setdefault(text, []).append(number)

    def candidates(self, event: Event) -> Sequence[Rule]:
        """The rules whose condition has to be asked, in their order. Every other one is false for this event."""
        numbers = self._unscreened
        for path, by_text in self._by_path.items():
            value = _at(event, path)
            # What is absent, or no text, is for the condition to judge, and to explain.
            found = by_text.get(value) if type(value) is str else self._on_path[path]
            if found:
                numbers = numbers + found
        if not numbers:
            return ()
        return [self._rules[number] for number in sorted(numbers)]

    def concerned(self, event: Event) -> tuple[Sequence[Rule], Facts | None]:
        """The candidates, and the event as their conditions see it; none at all where that takes one question."""
        candidates = self.candidates(event)
        if not candidates:
            return (), None
        facts = Facts(event)
        if len(candidates) > 1 and self._all.excluded(facts):
            return (), facts
        return candidates, facts


def _first_equality(source: str) -> Equality | None:
    return next((wanted for part in conjuncts(source) if (wanted := equality(part)) is not None), None)


def _at(event: Event, path: tuple[str, ...]) -> Any:
    value: Any = event.__dict__.get(path[0])
    for name in path[1:]:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value
