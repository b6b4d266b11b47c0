"""Reading rules: `config/rules/*.yaml`, one rule per YAML document, all checked before any is used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from datalab.runtime.yaml_lines import RepeatedKeyError, documents, line_of, line_of_fault
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


def _read(path: Path) -> list[Rule]:
    rules, faults = [], []
    try:
        for node, value in documents(path.read_text("utf-8")):
            try:
                rules.append(_rule(path, node, value))
            except RuleFileError as error:  # told with those of the other rules
                faults.append(str(error))
    except (OSError, UnicodeDecodeError) as error:
        raise RuleFileError(f"{path}: cannot be read: {error}") from error
    except RepeatedKeyError as error:
        raise RuleFileError(f"{path}:{error.line}: {error}") from error
    except yaml.YAMLError as error:
        line = line_of_fault(error)
        where = f"{path}:{line}" if line else str(path)
        raise RuleFileError(f"{where}: not YAML: {getattr(error, 'problem', error)}; correct the syntax") from error
    if faults:
        raise RuleFileError("\n".join(faults))
    return rules


def _rule(path: Path, node: yaml.Node, value: Any) -> Rule:
    if not isinstance(value, dict):
        raise RuleFileError(f"{path}:{node.start_mark.line + 1}: a rule is a map with name, on, where, run")
    try:
        spec = RuleSpec.model_validate(value)
    except ValidationError as error:
        found = sorted(((line_of(node, e["loc"]), e) for e in error.errors()), key=lambda one: one[0])
        told = [f"{path}:{line}: {'.'.join(map(str, e['loc']))}: {_advice(e)}" for line, e in found]
        raise RuleFileError("\n".join(told)) from error
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
