"""The words of an alert, from templates in a sandbox. Texts are cut to what a message can carry.

A template that fails at run time must not lose the alert: its text is replaced and the reason becomes an annotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from jinja2 import StrictUndefined, Template, TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from schemas.catalog import parse_data
from schemas.envelope import Event

if TYPE_CHECKING:
    from services.monitor.rules import AlertRule

_KNOWN = frozenset({"event", "data", "labels"})
_SUMMARY, _DESCRIPTION, _ANNOTATION = 300, 4000, 2000


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's own, which would let templates call pydantic's methods; some of those read files and unpickle."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """No method of the event may be reached."""
        return super().is_safe_attribute(obj, attr, value) and not (isinstance(obj, Event) and callable(value))


_SANDBOX = _Sandbox(undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True)


class Pages(NamedTuple):
    """Where links in alerts lead to, without a slash at the end; empty for none."""

    prefect: str
    dashboard: str = ""


class Wording(NamedTuple):
    """What an alert says."""

    summary: str
    description: str
    annotations: dict[str, str]


def check_template(source: str) -> None:
    """Raise ValueError if the template has an error or uses a name that it will not be given."""
    try:
        unknown = meta.find_undeclared_variables(_SANDBOX.parse(source)) - _KNOWN
    except TemplateError as error:
        raise ValueError(f"template: {error}") from error
    if unknown:
        raise ValueError(f"template: unknown name {', '.join(sorted(unknown))}; known: {', '.join(sorted(_KNOWN))}")


def word(rule: AlertRule, event: Event, labels: Mapping[str, str], *, pages: Pages) -> Wording:
    """Summary, description and annotations of the alert that `event` raises."""
    errors: list[str] = []
    # All fields of the type, absent ones as none, so that a template only fails on a name that does not exist.
    data = parse_data(event).model_dump(mode="json")

    def render(source: str, limit: int, instead: str = "") -> str:
        try:
            text = _compiled(source).render(event=event, data=data, labels=labels)
        except Exception as error:  # a template can raise anything
            errors.append(f"{type(error).__name__}: {error}")
            return instead
        return _cut(text.strip(), limit)

    fallback = f"{rule.name}: {', '.join(labels.values())}"
    summary = " ".join(render(rule.summary, _SUMMARY, fallback).split()) or fallback
    description = render(rule.description, _DESCRIPTION)
    annotations = {name: render(source, _ANNOTATION) for name, source in rule.annotations.items()}
    annotations |= _facts(rule, event, pages)
    if errors:
        annotations["template_error"] = _cut("; ".join(errors), _ANNOTATION)
    return Wording(summary, description, {name: text for name, text in annotations.items() if text})


def _facts(rule: AlertRule, event: Event, pages: Pages) -> dict[str, str]:
    """What every alert carries, whatever its rule says."""
    run_id = event.data.get("run_id")
    # A model's run_id is MLflow's, which Prefect has no page for.
    is_prefect = isinstance(run_id, str) and not event.type.startswith("lab.model.")
    return {
        "event_id": event.id,
        "event_type": event.type,
        "correlation_id": event.correlation,
        "runbook": rule.runbook or "",
        "run_url": f"{pages.prefect}/runs/flow-run/{run_id}" if is_prefect else "",
        # As the dashboard's own links are, in `services/dashboard`.
        "trace_url": f"{pages.dashboard}/event-trace?{urlencode({'event': event.id})}" if pages.dashboard else "",
        "dashboard_url": pages.dashboard,
    }


@cache
def _compiled(source: str) -> Template:
    return _SANDBOX.from_string(source)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
