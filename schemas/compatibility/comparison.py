"""Walking two schemas side by side: fields, items, alternatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.compatibility.alternatives import Schema, UnresolvableError, alternatives, meaning
from schemas.compatibility.findings import Break, Kind, shown
from schemas.compatibility.values import type_name, value_breaks

# Words whose effect depends on each other, or that no simple rule compares: a new schema may drop them or keep them.
_KEPT_TOGETHER = (
    ("allOf",), ("oneOf",), ("not",), ("if", "then", "else"), ("dependentSchemas",), ("dependentRequired",),
    ("dependencies",), ("patternProperties",), ("propertyNames",), ("contains", "minContains", "maxContains"),
    ("$dynamicRef",),
)  # fmt: skip
# What these forbid depends on everything beside them.
_SEEING_ALL = ("unevaluatedProperties", "unevaluatedItems")
# A schema from outside may branch without end; ours take some tens of steps. This many take about half a second.
_STEPS = 10_000


class _TooIntricateError(Exception):
    pass


class Comparison:
    """One comparison of two documents; `run` answers."""

    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self._old, self._new = old, new
        self._above: set[tuple[int, int]] = set()
        self._steps = 0

    def run(self) -> list[Break]:
        """The breaks, in the order of the old schema's fields."""
        try:
            return self._nodes(self._old, self._new, "")
        except UnresolvableError as error:
            return [Break("data", Kind.INCOMPARABLE, "a schema", str(error))]
        except (_TooIntricateError, RecursionError):
            return [Break("data", Kind.INCOMPARABLE, "a schema", "too many alternatives within alternatives")]

    def _nodes(self, old: Any, new: Any, path: str) -> list[Break]:
        pair = (id(old), id(new))
        # A schema that contains itself: what holds one level above holds here too.
        if old is False or pair in self._above:
            return []
        self._steps += 1
        if self._steps > _STEPS:
            raise _TooIntricateError
        self._above.add(pair)
        try:
            news = alternatives(new, self._new)
            return [one for branch in alternatives(old, self._old) for one in self._best(branch, news, path)]
        finally:
            self._above.discard(pair)

    def _best(self, old: Schema, news: list[Schema], path: str) -> list[Break]:
        """None if one of the new alternatives takes everything that the old one took; else why the nearest does not."""
        results = [self._pair(old, new, path) for new in news]
        if any(not result for result in results):
            return []
        foreign = [one for one in results if one[0].kind is Kind.NARROWED_TYPE and one[0].field == (path or "data")]
        near = [result for result in results if result not in foreign]
        if near:
            return min(near, key=len)
        now = " or ".join(sorted({type_name(new) for new in news}))
        return [Break(path or "data", Kind.NARROWED_TYPE, type_name(old), now)]

    def _pair(self, old: Schema, new: Schema, path: str) -> list[Break]:
        found = value_breaks(old, new, path or "data")
        if found and found[0].kind is Kind.NARROWED_TYPE:
            return found
        return [*found, *self._kept(old, new, path), *self._fields(old, new, path), *self._items(old, new, path)]

    def _kept(self, old: Schema, new: Schema, path: str) -> list[Break]:
        found = []
        for words in _KEPT_TOGETHER:
            was, now = ({w: schema[w] for w in words if w in schema} for schema in (old, new))
            if now and meaning(was, self._old) != meaning(now, self._new):
                found.append(Break(path or "data", Kind.INCOMPARABLE, shown(was or "free"), shown(now)))
        seeing = [word for word in _SEEING_ALL if new.get(word, True) is not True]
        if seeing and meaning(old, self._old) != meaning(new, self._new):
            found.append(Break(path or "data", Kind.INCOMPARABLE, "something else beside it", f"{seeing[0]} set"))
        return found

    def _fields(self, old: Schema, new: Schema, path: str) -> list[Break]:
        if old.get("type", "object") != "object":
            return []
        was, now = old.get("properties", {}), new.get("properties", {})
        found = [
            Break(_below(path, name), Kind.NEW_REQUIRED_FIELD, "optional" if name in was else "unknown", "required")
            for name in new.get("required", [])
            if name not in old.get("required", [])
        ]
        extra = old.get("additionalProperties", True)
        for name, schema in was.items():
            at = _below(path, name)
            if name in now:
                found += self._nodes(schema, now[name], at)
            else:
                found.append(Break(at, Kind.REMOVED_FIELD, type_name(schema), "absent"))
        if isinstance(extra, dict):  # such as dict[str, str]: the name may be in use already
            for name in now.keys() - was.keys():
                found += self._nodes(extra, now[name], _below(path, name))
        return found + self._extra_fields(old, new, path)

    def _extra_fields(self, old: Schema, new: Schema, path: str) -> list[Break]:
        was, now = old.get("additionalProperties", True), new.get("additionalProperties", True)
        if was is False and not old.get("patternProperties"):
            return []
        if now is False:
            if was is False and old.get("patternProperties") == new.get("patternProperties"):
                return []
            return [Break(path or "data", Kind.CLOSED_OBJECT, "open to other fields", "closed to them")]
        return self._nodes(was, now, _below(path, "*"))

    def _items(self, old: Schema, new: Schema, path: str) -> list[Break]:
        if old.get("type", "array") != "array":
            return []
        was, now = old.get("prefixItems", []), new.get("prefixItems", [])
        found = []
        for place in range(max(len(was), len(now))):
            found += self._nodes(_item(old, was, place), _item(new, now, place), f"{path}[{place}]")
        return found + self._nodes(old.get("items", True), new.get("items", True), f"{path}[]")


def _item(schema: Schema, prefix: list[Any], place: int) -> Any:
    return prefix[place] if place < len(prefix) else schema.get("items", True)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
