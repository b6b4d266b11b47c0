"""Which trouble an event is about: labels, fingerprint, episode. Pure functions of rule and event."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from schemas.envelope import Event, event_id

if TYPE_CHECKING:
    from services.monitor.rules import AlertRule

# What may be the key of a cache: 1, 1.0 and True are the same one, though not the same label.
_TEXTS = frozenset({str, type(None)})


def labels_of(rule: AlertRule, event: Event) -> dict[str, str]:
    """The rule's labels with their values; a field the event does not have (an ad-hoc run's deployment) is left out.
    Of a measurement, its own labels count too."""
    tags = event.data.get("labels", {}) if rule.metric else {}
    values = ((name, event.data.get(name, tags.get(name))) for name in rule.labels)
    return {name: str(value) for name, value in values if value is not None}


def fingerprint(rule: str, labels: Mapping[str, str]) -> str:
    """Identifies the trouble for ever: 32 hexadecimal digits from rule and labels, in any order of labels."""
    return _fingerprint(rule, tuple(sorted(labels.items())))


def fingerprint_of(rule: AlertRule, event: Event) -> str:
    """Of the trouble that the event, to this rule, is about. Asked for each event, so it makes no labels where the same
    were seen before."""
    values = tuple([event.data.get(name) for name in rule.labels])
    if rule.metric is None and _TEXTS.issuperset(map(type, values)):
        return _of_texts(rule.name, rule.labels, values)
    return fingerprint(rule.name, labels_of(rule, event))


@lru_cache(maxsize=20_000)
def _of_texts(rule: str, names: tuple[str, ...], values: tuple[str | None, ...]) -> str:
    return fingerprint(rule, {name: text for name, text in zip(names, values, strict=True) if text is not None})


@lru_cache(maxsize=20_000)  # a lab's deployments and datasets are few, and each event asks for one
def _fingerprint(rule: str, labels: tuple[tuple[str, str], ...]) -> str:
    content = json.dumps([rule, labels], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def episode_id(fingerprint_: str, cause: str) -> str:
    """Identifies this time the trouble came up, by the event that caused it. A repeat gives the same id."""
    return event_id("episode", fingerprint_, cause)
