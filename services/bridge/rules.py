"""Rules as data: `config/rules/*.yaml`, one rule per YAML document, checked whole before any is used.

It reads and checks; what a rule says about an event is decided in `services.bridge.decisions`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from jinja2 import TemplateSyntaxError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from schemas.catalog import UnknownEventTypeError, topic_for
from services.bridge.conditions import Condition, ConditionError
from services.bridge.templates import Template


class RuleFileError(ValueError):
    """A rules file is wrong. The message names file, line, field and what to do."""


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


def _template(value: Any) -> Any:
    try:
        Template(value)
    except TemplateSyntaxError as error:
        raise ValueError(f"not a template: {error.message}") from None
    return value


class RunSpec(BaseModel):
    """The run that a rule starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deployment: str = Field(pattern=r"^[^/\s][^/]*/[^/]*[^/\s]$", description="flow/deployment")
    parameters: dict[str, Annotated[Any, AfterValidator(_template)]] = Field(default_factory=dict)
    tags: list[Annotated[str, AfterValidator(_template)]] = Field(default_factory=list)


class RuleSpec(BaseModel):
    """A rule as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    description: str = ""
    on: list[Annotated[str, AfterValidator(_known_type)]] = Field(min_length=1)
    where: Annotated[str, AfterValidator(_compiles)] = "true"
    run: RunSpec


@dataclass(frozen=True)
class Rule:
    """A rule that can be applied. `origin` is file:line."""

    spec: RuleSpec
    condition: Condition
    parameters: Template
    tags: Template
    origin: str

    @classmethod
    def of(cls, spec: RuleSpec, origin: str) -> Rule:
        """Compile a checked rule."""
        return cls(spec, Condition(spec.where), Template(dict(spec.run.parameters)), Template(list(spec.run.tags)), origin)

    @property
    def name(self) -> str:
        """The rule's name, unique in its book."""
        return self.spec.name


class RuleBook:
    """The rules in force, by the event types they listen to."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = list(rules)
        self._by_type: dict[str, list[Rule]] = {}
        for rule in self.rules:
            for type_ in dict.fromkeys(rule.spec.on):
                self._by_type.setdefault(type_, []).append(rule)

    def listening_to(self, type_: str) -> Sequence[Rule]:
        """The rules for events of this type."""
        return self._by_type.get(type_, ())

    @property
    def topics(self) -> list[str]:
        """The topics that must be consumed."""
        return sorted({topic_for(type_) for type_ in self._by_type})

    @property
    def deployments(self) -> dict[str, str]:
        """Each deployment that a rule starts, with the name of one such rule."""
        return {rule.spec.run.deployment: rule.name for rule in self.rules}


def load_rules(folder: Path) -> RuleBook:
    """Every rule of `*.yaml` in the folder; raises RuleFileError naming all that is wrong."""
    if not folder.is_dir():
        raise RuleFileError(f"{folder}: there is no such directory; create it, or set DATALAB_CONFIG_DIR")
    rules: dict[str, Rule] = {}
    errors: list[str] = []
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            for rule in _read(path):
                if rule.name in rules:
                    raise RuleFileError(
                        f"{rule.origin}: name: {rule.name!r} is taken by {rules[rule.name].origin}; choose another"
                    )
                rules[rule.name] = rule
        except RuleFileError as error:
            errors.append(str(error))
    if errors:
        raise RuleFileError("\n".join(errors))
    return RuleBook(rules.values())


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans only: in YAML 1.1 the key `on` would be read as true."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def _read(path: Path) -> list[Rule]:
    try:
        loader = _Loader(path.read_text("utf-8"))
        rules = []
        while loader.check_node():
            node = loader.get_node()
            _refuse_repeated_keys(path, node)
            rules.append(_rule(path, node, loader.construct_document(node)))
    except (OSError, UnicodeDecodeError) as error:
        raise RuleFileError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise RuleFileError(f"{where}: not YAML: {getattr(error, 'problem', error)}; correct the syntax") from error
    return rules


def _rule(path: Path, node: yaml.Node, value: Any) -> Rule:
    if not isinstance(value, dict):
        raise RuleFileError(f"{path}:{node.start_mark.line + 1}: a rule is a map with name, on, where, run")
    try:
        spec = RuleSpec.model_validate(value)
    except ValidationError as error:
        raise RuleFileError(
            "\n".join(
                f"{path}:{_line(node, e['loc'])}: {'.'.join(map(str, e['loc']))}: {_advice(e['type'], e['msg'])}"
                for e in error.errors()
            )
        ) from error
    return Rule.of(spec, f"{path}:{node.start_mark.line + 1}")


def _advice(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such field; remove it or correct its name"
    if kind == "missing":
        return "is missing; add it"
    return message.removeprefix("Value error, ")


def _line(node: yaml.Node, loc: Sequence[int | str]) -> int:
    """The line of the field, or of the innermost part of its path that is there."""
    for step in loc:
        inner = None
        if isinstance(node, yaml.MappingNode):
            inner = next((value for key, value in node.value if key.value == step), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            inner = node.value[step]
        if inner is None:
            break
        node = inner
    return int(node.start_mark.line) + 1


def _refuse_repeated_keys(path: Path, node: yaml.Node) -> None:
    """YAML would silently take the last."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(path, item)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise RuleFileError(f"{path}:{key.start_mark.line + 1}: {key.value}: stands twice; remove one")
            seen.add(key.value)
            _refuse_repeated_keys(path, value)
