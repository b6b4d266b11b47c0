"""Reading rules: `config/rules/*.yaml`, one rule per YAML document, all checked before any is used."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from services.bridge.rules import Rule, RuleBook, RuleSpec

_FORMS = {
    "name": "use lower-case letters, digits and dashes, up to 63",
    "deployment": "write it as flow/deployment, as `prefect deployment ls` shows it",
}


class RuleFileError(ValueError):
    """A rules file is wrong. The message names file, line, field and what to do."""


def load_rules(folder: Path) -> RuleBook:
    """Every rule of `*.yaml` in the folder; raises RuleFileError naming all that is wrong."""
    if not folder.is_dir():
        raise RuleFileError(f"{folder}: there is no such directory; create it, or set DATALAB_CONFIG_DIR")
    return _book(sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]))


def load_rule_file(path: Path) -> RuleBook:
    """The rules of one file, which need not be among those in force; raises RuleFileError."""
    return _book([path])


def _book(paths: Sequence[Path]) -> RuleBook:
    rules: dict[str, Rule] = {}
    errors: list[str] = []
    for path in paths:
        try:
            for rule in _read(path):
                taken = rules.setdefault(rule.name, rule)
                if taken is not rule:
                    errors.append(f"{rule.origin}: name: {rule.name!r} is taken by {taken.origin}; choose another")
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
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def _read(path: Path) -> list[Rule]:
    try:
        loader = _Loader(path.read_text("utf-8"))
        rules = []
        while loader.check_node():
            node = loader.get_node()
            assert node is not None, "check_node said that there is one"
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
                f"{path}:{_line(node, e['loc'])}: {'.'.join(map(str, e['loc']))}: {_advice(e)}" for e in error.errors()
            )
        ) from error
    return Rule.of(spec, f"{path}:{node.start_mark.line + 1}")


def _advice(error: ErrorDetails) -> str:
    kind, message = error["type"], error["msg"]
    if kind == "string_pattern_mismatch":
        return _FORMS[str(error["loc"][-1])]
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
