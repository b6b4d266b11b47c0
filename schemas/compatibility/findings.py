"""What a comparison finds: one place where older data would not fit any more."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The kinds of breaks."""

    REMOVED_FIELD = "removed field"
    NEW_REQUIRED_FIELD = "new required field"
    NARROWED_TYPE = "narrowed type"
    NARROWED_VALUES = "narrowed values"
    NARROWED_BOUND = "narrowed bound"
    NARROWED_PATTERN = "narrowed pattern"
    CLOSED_OBJECT = "closed object"
    INCOMPARABLE = "changed where it cannot be compared"


_REMEDIES = {
    Kind.REMOVED_FIELD: "keep it, and make it optional if it is not written any more",
    Kind.NEW_REQUIRED_FIELD: "make it optional, or give what is new a type of its own",
    Kind.NARROWED_TYPE: "keep every type that was allowed, or add a field of another name",
    Kind.NARROWED_VALUES: "keep every value that was allowed, even if it is not written any more",
    Kind.NARROWED_BOUND: "keep the bound, or loosen it",
    Kind.NARROWED_PATTERN: "keep it, or drop it",
    Kind.CLOSED_OBJECT: "leave additionalProperties open",
    Kind.INCOMPARABLE: "leave it as it was, or drop it",
}


@dataclass(frozen=True)
class Break:
    """`field` is a path such as `rules[].name`, `data` for the whole. `was` and `now` say what was and is allowed.
    `version` is the earlier version it breaks with, counted from 1, if several were compared."""

    field: str
    kind: Kind
    was: str
    now: str
    version: int | None = None

    @property
    def remedy(self) -> str:
        """What to do instead."""
        return _REMEDIES[self.kind]

    def of_version(self, number: int) -> Break:
        """The same, found against this version."""
        return replace(self, version=number)

    def __str__(self) -> str:
        version = f" in version {self.version}" if self.version else ""
        return f"{self.field}: {self.kind}: was {self.was}{version}, is {self.now}; {self.remedy}"


def shown(value: Any) -> str:
    """A value as JSON, short enough for a message."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else text[:197] + "..."
