"""What an event caused, as a tree: events, the runs that rules made of them, and deliveries. Pure; reads nothing.

An event of a run stands below that run, an outcome of a delivery below that delivery, any other below its cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.envelope import Event


@dataclass
class TraceNode:
    """One thing that happened. `kind` is event, run or delivery; `label` is for people. `names` are other ids by which
    it may be asked for: of a run, or of an alert."""

    kind: str
    id: str
    at: datetime
    label: str
    details: dict[str, Any]
    children: list[TraceNode] = field(default_factory=list)
    names: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """The node and all below it, as JSON values."""
        return {
            "kind": self.kind,
            "id": self.id,
            "at": self.at.isoformat(),
            **self.details,
            "children": [child.to_json() for child in self.children],
        }


@dataclass(frozen=True)
class Trigger:
    """What the bridge made of an event."""

    id: str
    rule: str
    event_id: str
    deployment: str
    status: str
    reason: str | None
    flow_run_id: str | None
    run_state: str | None
    created_at: datetime


@dataclass(frozen=True)
class Delivery:
    """What the notifier made of an event."""

    id: str
    event_id: str
    channel: str
    target: str
    status: str
    reason: str | None
    attempts: int
    status_code: int | None
    created_at: datetime


def build_trace(
    events: Mapping[str, tuple[str, Event]], triggers: Iterable[Trigger], deliveries: Iterable[Delivery]
) -> list[TraceNode]:
    """The roots of the tree, usually one. `events` maps an id to where it is and the event."""
    triggers, deliveries = list(triggers), list(deliveries)
    nodes = {event.id: _event_node(at, event) for at, event in events.values()}
    runs = {trigger.id: _run_node(trigger) for trigger in triggers}
    sent = {delivery.id: _delivery_node(delivery) for delivery in deliveries}
    parents: dict[int, TraceNode | None] = {}
    for trigger in triggers:
        parents[id(runs[trigger.id])] = nodes.get(trigger.event_id)
    for delivery in deliveries:
        parents[id(sent[delivery.id])] = nodes.get(delivery.event_id)
    of_run = {trigger.flow_run_id: runs[trigger.id] for trigger in triggers if trigger.flow_run_id}
    for _, event in events.values():
        parents[id(nodes[event.id])] = _parent(event, nodes, of_run, sent)
    return _joined([*nodes.values(), *runs.values(), *sent.values()], parents)


def render(roots: Iterable[TraceNode], asked: str) -> Iterator[str]:
    """The tree as lines; what was asked for is marked."""
    for root in roots:
        yield _line(root, asked)
        yield from _below(root, "", asked)


def _below(node: TraceNode, indent: str, asked: str) -> Iterator[str]:
    for index, child in enumerate(node.children):
        last = index == len(node.children) - 1
        yield f"{indent}{'└─ ' if last else '├─ '}{_line(child, asked)}"
        yield from _below(child, indent + ("   " if last else "│  "), asked)


def _line(node: TraceNode, asked: str) -> str:
    mark = "  ◀" if asked == node.id or asked in node.names else ""
    return f"{node.at.astimezone():%H:%M:%S.%f}"[:-3] + f"  {node.label}{mark}"


def _parent(
    event: Event, nodes: Mapping[str, TraceNode], runs: Mapping[str, TraceNode], sent: Mapping[str, TraceNode]
) -> TraceNode | None:
    for table, key in ((sent, "delivery_id"), (runs, "run_id")):
        value = event.data.get(key)
        if isinstance(value, str) and value in table:
            return table[value]
    return nodes.get(event.causationid or "")


def _joined(nodes: list[TraceNode], parents: Mapping[int, TraceNode | None]) -> list[TraceNode]:
    roots = []
    for node in nodes:
        parent = parents[id(node)]
        if parent is None or _leads_back(node, parents):
            roots.append(node)
        else:
            parent.children.append(node)
    for node in nodes:
        node.children.sort(key=lambda child: (child.at, child.id))
    return sorted(roots, key=lambda root: (root.at, root.id))


def _leads_back(node: TraceNode, parents: Mapping[int, TraceNode | None]) -> bool:
    """Whether the node is its own ancestor, which senders can make up; such a circle is cut at each of its nodes."""
    seen: set[int] = set()
    above = parents[id(node)]
    while above is not None and id(above) not in seen:
        if above is node:
            return True
        seen.add(id(above))
        above = parents[id(above)]
    return False


def _event_node(at: str, event: Event) -> TraceNode:
    details = {"type": event.type, "subject": event.subject, "source": event.source, "record": at}
    label = f"{event.type}  {event.subject}  {at}  {event.id}"
    of_alert = frozenset(str(event.data[name]) for name in ("fingerprint", "episode") if event.data.get(name))
    names = of_alert if event.type.startswith("lab.alert.") else frozenset()
    return TraceNode("event", event.id, event.time, label, details, names=names)


def _run_node(trigger: Trigger) -> TraceNode:
    state = trigger.run_state or trigger.status
    reason = f" ({trigger.reason})" if trigger.reason else ""
    label = f"run {trigger.flow_run_id or '-'}  {trigger.deployment}  {state}{reason}  by rule {trigger.rule}"
    details = {
        "rule": trigger.rule,
        "deployment": trigger.deployment,
        "flow_run_id": trigger.flow_run_id,
        "status": trigger.status,
        "run_state": trigger.run_state,
        "reason": trigger.reason,
    }
    names = frozenset([trigger.flow_run_id] if trigger.flow_run_id else [])
    return TraceNode("run", trigger.id, trigger.created_at, label, details, names=names)


def _delivery_node(delivery: Delivery) -> TraceNode:
    code = f" {delivery.status_code}" if delivery.status_code else ""
    reason = f" ({delivery.reason})" if delivery.reason else ""
    attempts = f"{delivery.attempts} attempt{'' if delivery.attempts == 1 else 's'}"
    label = f"delivery to {delivery.channel} {delivery.target}  {delivery.status}{code}{reason}  {attempts}"
    details = {
        "channel": delivery.channel,
        "target": delivery.target,
        "status": delivery.status,
        "status_code": delivery.status_code,
        "attempts": delivery.attempts,
        "reason": delivery.reason,
    }
    return TraceNode("delivery", delivery.id, delivery.created_at, label, details)
