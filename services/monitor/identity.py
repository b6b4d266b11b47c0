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


def labels_of(rule: AlertRule, event: Event) -> dict[str, str]:
    """The rule's labels with their values; a field the event does not have (an ad-hoc run's deployment) is left out.
    Of a measurement, its own labels count too."""
    tags = event.data.get("labels", {}) if rule.metric else {}
    values = ((name, event.data.get(name, tags.get(name))) for name in rule.labels)
    return {name: str(value) for name, value in values if value is not None}


def fingerprint(rule: str, labels: Mapping[str, str]) -> str:
    """Identifies the trouble for ever: 32 hexadecimal digits from rule and labels, in any order of labels."""
    return _fingerprint(rule, tuple(sorted(labels.items())))


@lru_cache(maxsize=20_000)  # a lab's deployments and datasets are few, and each event asks for one
def _fingerprint(rule: str, labels: tuple[tuple[str, str], ...]) -> str:
    content = json.dumps([rule, labels], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def episode_id(fingerprint_: str, cause: str) -> str:
    """Identifies this time the trouble came up, by the event that caused it. A repeat gives the same id."""
    return event_id("episode", fingerprint_, cause)
