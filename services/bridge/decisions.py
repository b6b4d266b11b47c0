"""What a rule says about an event: pure, with a reason for every answer. Nothing is stored or started here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.envelope import Event, event_id
from services.bridge.conditions import ConditionFailedError, Facts
from services.bridge.rules import Rule, RuleBook
from services.bridge.templates import Occasion, TemplateFailedError

EVENT_TAG, CORRELATION_TAG, RULE_TAG = "datalab.event=", "datalab.correlation=", "datalab.rule="
Outcome = Literal["other-type", "own-run", "condition", "failed", "matched", "suppressed"]
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
    # Of a rule with windows: which of its conditions hold. What its run would be is only known with the window.
    conditions: tuple[int, ...] = ()

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
    if event.type not in rule.types:
        return Decision(rule, "other-type", f"{event.type} is not among {', '.join(sorted(rule.types))}")
    if _started_by(rule, event):
        # Else a rule on run events would start its own runs for ever.
        return Decision(rule, "own-run", "the run was started by this very rule")
    facts = facts or Facts(event)
    met, reasons = [], []
    for number, role in enumerate(rule.roles):
        if event.type not in role.types:
            continue
        try:
            verdict = role.condition.judge(facts)
        except ConditionFailedError as error:
            return Decision(rule, "failed", f"{role.field}: {error}", error_class=type(error).__name__)
        if verdict.holds:
            met.append(number)
        else:
            reasons.append(verdict.reason)
    if not met:
        return Decision(rule, "condition", "; ".join(reasons))
    return _decide_matched(rule, event, facts, tuple(met))


def _decide_matched(rule: Rule, event: Event, facts: Facts, met: tuple[int, ...]) -> Decision:
    try:
        key = rule.key.of(facts)
    except ConditionFailedError as error:
        return Decision(rule, "failed", f"key: {error}", error_class=type(error).__name__)
    if rule.windowed:
        window = f"goes into a window ({rule.spec.when.kind}{f' of {key}' if key else ''})"
        return Decision(rule, "matched", window, key=key, conditions=met)
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


def trigger_id(rule: str, event: str) -> str:
    """The deterministic id of the trigger of this rule by the event of this id."""
    return event_id("trigger", rule, event)


def idempotency_key(rule: str, deployment: str, event: Event) -> str:
    """The key of the run of this rule for this event."""
    return run_key(rule, deployment, event.id)


def run_key(rule: str, deployment: str, cause: str) -> str:
    """Unique for ever: Prefect's keys are unique per flow, so rule and deployment are part of it."""
    key = f"datalab:{rule}:{deployment}:{cause}"
    return key if len(key) <= _LONGEST_KEY else f"datalab:{rule}:{event_id('run', rule, deployment, cause)}"


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
