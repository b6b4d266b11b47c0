"""What a rule says about an event: pure, with a reason for every answer. Nothing is stored or started here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.envelope import Event, event_id
from services.bridge.conditions import ConditionFailedError, Facts
from services.bridge.rules import Rule, RuleBook
from services.bridge.templates import Occasion, TemplateFailedError

EVENT_TAG, CORRELATION_TAG, RULE_TAG = "datalab.event=", "datalab.correlation=", "datalab.rule="
Outcome = Literal["other-type", "own-run", "condition", "failed", "matched"]
_LONGEST_KEY = 1000


@dataclass(frozen=True)
class Decision:
    """`matched` starts a run with these parameters; `failed` means the rule should have and cannot, for an error of
    this class."""

    rule: Rule
    outcome: Outcome
    reason: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    error_class: str = ""
    key: str = ""

    @property
    def concerns(self) -> bool:
        """Whether it needs a trigger."""
        return self.outcome in ("matched", "failed")


def decide_all(book: RuleBook, event: Event) -> list[Decision]:
    """One decision for each rule that the event may concern; a rule that is left out has a false condition."""
    rules, facts = book.concerned_by(event)
    return [decide(rule, event, facts) for rule in rules]


def decide(rule: Rule, event: Event, facts: Facts | None = None) -> Decision:
    """What the rule says about the event."""
    if event.type not in rule.spec.on:
        return Decision(rule, "other-type", f"{event.type} is not among {', '.join(rule.spec.on)}")
    if _started_by(rule, event):
        # Else a rule on run events would start its own runs for ever.
        return Decision(rule, "own-run", "the run was started by this very rule")
    facts = facts or Facts(event)
    try:
        verdict = rule.condition.judge(facts)
    except ConditionFailedError as error:
        return Decision(rule, "failed", f"where: {error}", error_class=type(error).__name__)
    if not verdict.holds:
        return Decision(rule, "condition", verdict.reason)
    try:
        key = rule.key.of(facts)
    except ConditionFailedError as error:
        return Decision(rule, "failed", f"key: {error}", error_class=type(error).__name__)
    return decide_run(rule, Occasion([event], key))


def decide_run(rule: Rule, occasion: Occasion) -> Decision:
    """The run that the rule starts on this occasion, whose events it wants."""
    try:
        parameters, options = rule.parameters.render(occasion), _options(rule, occasion)
        return Decision(rule, "matched", "", parameters, _tags(rule, occasion), options, key=occasion.key)
    except TemplateFailedError as error:
        return Decision(rule, "failed", f"run: {error}", error_class=type(error).__name__, key=occasion.key)


def _started_by(rule: Rule, event: Event) -> bool:
    tags = event.data.get("tags")
    return isinstance(tags, list) and RULE_TAG + rule.name in tags


def trigger_id(rule: str, event: Event) -> str:
    """The deterministic id of the trigger of this rule by this event."""
    return event_id("trigger", rule, event.id)


def idempotency_key(rule: str, deployment: str, event: Event) -> str:
    """Unique for ever: Prefect's keys are unique per flow, so rule and deployment are part of it."""
    key = f"datalab:{rule}:{deployment}:{event.id}"
    return key if len(key) <= _LONGEST_KEY else f"datalab:{rule}:{event_id('run', rule, deployment, event.id)}"


def _tags(rule: Rule, occasion: Occasion) -> list[str]:
    event = occasion.events[-1]
    own = [EVENT_TAG + event.id, CORRELATION_TAG + event.correlation, RULE_TAG + rule.name]
    return [*own, *(tag for tag in map(str, rule.tags.render(occasion)) if tag not in own)]


def _options(rule: Rule, occasion: Occasion) -> dict[str, Any]:
    options: dict[str, Any] = rule.options.render(occasion)
    if "name" in options:
        options["name"] = str(options["name"])
    for name, value in options.get("labels", {}).items():
        if not isinstance(value, str | int | float):
            raise TemplateFailedError(f"label {name}: is {value!r}, neither text nor number nor true or false")
    return options
