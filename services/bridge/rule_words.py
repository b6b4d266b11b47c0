"""The words that rules are made of, each checked as it is read: event types, expressions, templates."""

from __future__ import annotations

from typing import Annotated, Any

from jinja2 import TemplateSyntaxError
from pydantic import AfterValidator

from schemas.catalog import UnknownEventTypeError, topic_for
from services.bridge.conditions import Condition, ConditionError, Key
from services.bridge.templates import Template


def _known_type(type_: str) -> str:
    try:
        topic_for(type_)
    except UnknownEventTypeError as error:
        raise ValueError(str(error)) from None
    return type_


def _compiles(source: str) -> str:
    try:
        Condition(source)
    except ConditionError as error:
        raise ValueError(str(error)) from None
    return source


def _keys(source: str) -> str:
    try:
        Key(source)
    except ConditionError as error:
        raise ValueError(str(error)) from None
    return source


def template(value: Any) -> Any:
    """The value, if every text in it is a template."""
    try:
        Template(value)
    except TemplateSyntaxError as error:
        raise ValueError(f"not a template: {error.message}") from None
    return value


EventType = Annotated[str, AfterValidator(_known_type)]
Expression = Annotated[str, AfterValidator(_compiles)]
KeyExpression = Annotated[str, AfterValidator(_keys)]
