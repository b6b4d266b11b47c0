"""A chain as steps from top to bottom, each with its depth, its time and what it says. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from datalab.trace.tree import TraceNode
from schemas.envelope import Event
from services.dashboard.answers.tracing import Chain, Trigger
from services.dashboard.language import Phrases
from services.dashboard.safe import link, one_line
from services.dashboard.views.event_words import says
from services.dashboard.views.tones import Tone, tone

Kind = Literal["event", "alert", "run", "delivery"]
_ICONS: Mapping[Kind, str] = {"event": "◇", "alert": "▲", "run": "▶", "delivery": "✉"}


@dataclass(frozen=True)
class Step:
    """One step. `until` is the end of a run; `after_s` counts from the first step of the chain."""

    depth: int
    kind: Kind
    at: datetime
    until: datetime | None
    after_s: float
    what: str
    says: str
    tone: Tone
    id: str
    link: str | None
    asked: bool


def steps(chain: Chain, phrases: Phrases) -> list[Step]:
    """Every node of the chain, each followed by what it caused."""
    start = min((root.at for root in chain.roots), default=None)
    if start is None:
        return []
    return [_step(chain, node, depth, start, phrases) for root in chain.roots for depth, node in _walk(root, 0)]


def counts(found: list[Step]) -> Mapping[Kind, int]:
    """How many steps of each kind."""
    return Counter(step.kind for step in found)


def duration_s(found: list[Step]) -> float:
    """From the first step to the last, in seconds."""
    if not found:
        return 0.0
    return (max(step.until or step.at for step in found) - min(step.at for step in found)).total_seconds()


def _walk(node: TraceNode, depth: int) -> Iterator[tuple[int, TraceNode]]:
    yield depth, node
    for child in node.children:
        yield from _walk(child, depth + 1)


def _step(chain: Chain, node: TraceNode, depth: int, start: datetime, phrases: Phrases) -> Step:
    event, trigger = chain.events.get(node.id), chain.triggers.get(node.id)
    if trigger is not None:
        kind, what, text, how = _run(trigger, phrases)
    elif event is not None:
        kind, what, text, how = _event(event, phrases)
    else:
        kind, what, text, how = _delivery(node, phrases)
    return Step(
        depth=depth,
        kind=kind,
        at=node.at,
        until=_end(trigger) if trigger else None,
        after_s=(node.at - start).total_seconds(),
        what=one_line(what),
        says=one_line(text),
        tone=how,
        id=trigger.flow_run_id or node.id if trigger else node.id,
        link=link(trigger.run_url) if trigger else None,
        asked=node.id == chain.asked,
    )


def _event(event: Event, phrases: Phrases) -> tuple[Kind, str, str, Tone]:
    kind: Kind = "alert" if event.type.startswith("lab.alert.") else "event"
    return kind, phrases.name("event", event.type), says(event, phrases), tone(event.type)


def _run(trigger: Trigger, phrases: Phrases) -> tuple[Kind, str, str, Tone]:
    state = trigger.run_state or trigger.status
    what = phrases("trace.run", rule=trigger.rule, deployment=trigger.deployment.rpartition("/")[2])
    reason = f": {trigger.reason}" if trigger.reason else ""
    return "run", what, f"{phrases.name('state', state)}{reason}", tone(state)


def _delivery(node: TraceNode, phrases: Phrases) -> tuple[Kind, str, str, Tone]:
    details = node.details
    what = phrases("trace.delivery", channel=phrases.name("channel", details["channel"]), target=details["target"])
    code = f" · {details['status_code']}" if details["status_code"] else ""
    reason = f": {details['reason']}" if details["reason"] else ""
    tries = phrases("trace.attempts", count=details["attempts"])
    text = f"{phrases.name('delivery', details['status'])}{code}{reason} · {tries}"
    return "delivery", what, text, tone(details["status"])


def _end(trigger: Trigger) -> datetime | None:
    return max((state.occurred_at for state in trigger.states), default=None)


def indented(step: Step) -> str:
    """The step's name, moved in by its depth; the one that was asked for is marked."""
    branch = "\u2003" * (step.depth - 1) + "└ " if step.depth else ""
    return f"{branch}{_ICONS[step.kind]} {step.what}{'  ◀' if step.asked else ''}"
