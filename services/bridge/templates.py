"""Parameters of runs: sandboxed Jinja2 over the event. `{{ … }}` alone keeps its type, inside text it is text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic_core import to_jsonable_python

from schemas.envelope import Event

Render = Callable[[dict[str, Any]], Any]


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's own, which would let templates call pydantic's methods; some of those read files and unpickle."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """No method of the event may be reached."""
        return super().is_safe_attribute(obj, attr, value) and not (isinstance(obj, Event) and callable(value))


_ENV = _Sandbox(undefined=StrictUndefined, autoescape=False)
_ENV.globals.clear()
# The braces with what Jinja takes for whitespace control; a minus after a blank belongs to the expression.
_MARKS = re.compile(r"^\{\{[-+]?|-?\}\}$")

_NAMES = frozenset({"event", "events", "window"})


class TemplateFailedError(Exception):
    """The template cannot be rendered for this event, or gives what no run can take."""


@dataclass(frozen=True)
class Occasion:
    """What a run is for: one event or those of a window, in the order of their times; `key` says what they share."""

    events: Sequence[Event]
    key: str = ""
    start: datetime | None = None
    end: datetime | None = None

    def names(self) -> dict[str, Any]:
        """What templates see: the latest event, all of them, and the window."""
        first, last = self.events[0], self.events[-1]
        window = {"start": self.start or first.time, "end": self.end or last.time, "key": self.key}
        return {"event": last, "events": list(self.events), "window": window | {"count": len(self.events)}}


class Template:
    """A value with templates in any text of its maps and lists. Raises jinja2's TemplateSyntaxError when made."""

    def __init__(self, value: Any) -> None:
        self._render = _compile(value)

    def render(self, occasion: Occasion) -> Any:
        """The value for what the run is for, as JSON types; raises TemplateFailedError."""
        try:
            value = to_jsonable_python(self._render(occasion.names()))
            json.dumps(value, allow_nan=False)
        except TemplateError as error:
            raise TemplateFailedError(str(error)) from error
        except Exception as error:
            raise TemplateFailedError(f"{type(error).__name__}: {error}"[:300]) from error
        _refuse_harmful(value)
        return value


def _compile(value: Any) -> Render:
    if isinstance(value, str):
        return _compile_text(value)
    if isinstance(value, dict):
        entries = {key: _compile(item) for key, item in value.items()}
        return lambda names: {key: render(names) for key, render in entries.items()}
    if isinstance(value, list):
        items = [_compile(item) for item in value]
        return lambda names: [render(names) for render in items]
    return lambda _: value


def _compile_text(source: str) -> Render:
    unknown = meta.find_undeclared_variables(_ENV.parse(source)) - _NAMES
    if unknown:
        known = "the event is `event`; there are also `events` and `window`"
        raise TemplateSyntaxError(f"unknown variable {', '.join(sorted(unknown))}; {known}", 1)
    template = _ENV.from_string(source)
    if not _is_one_expression(source):
        return template.render
    expression = _ENV.compile_expression(_MARKS.sub("", source.strip()), undefined_to_none=False)
    return lambda names: _defined(expression(names))


def _is_one_expression(source: str) -> bool:
    text = source.strip()
    if not (text.startswith("{{") and text.endswith("}}")):
        return False
    body = _ENV.parse(text).body
    if len(body) != 1 or not isinstance(body[0], nodes.Output):
        return False
    parts = body[0].nodes
    return len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData)


def _defined(value: Any) -> Any:
    if isinstance(value, Undefined):
        str(value)  # StrictUndefined raises, and says what is undefined
    return value


def _refuse_harmful(value: Any) -> None:
    if isinstance(value, str) and "\x00" in value:
        # Neither Prefect's database nor ours can store it; Prefect would answer 503 for ever.
        raise TemplateFailedError("a value contains the character NUL, which cannot be stored")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        # Prefect encodes lists of runs with orjson: with one such run it answers 500 to all who ask for them.
        raise TemplateFailedError("a number does not fit into 64 bits, which Prefect cannot store")
    if isinstance(value, dict):
        if "__prefect_kind" in value:
            # Prefect would resolve it (templates, variables of the workspace); events must not reach that.
            raise TemplateFailedError("a value contains __prefect_kind, which Prefect would execute")
        for key, item in value.items():
            _refuse_harmful(key)
            _refuse_harmful(item)
    if isinstance(value, list):
        for item in value:
            _refuse_harmful(item)
