"""Reading `config/alerts.yaml`, with errors that name file, rule, field and reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from services.monitor.rules import AlertRules


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: in YAML 1.1, which PyYAML reads, the key `on` means `true`."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own form
        first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), ["t", "f"])


class RuleFileError(ValueError):
    """The file cannot be used. The message names file, rule, field and reason, one problem a line."""


def read_rules(path: Path) -> AlertRules:
    """The rules in `path`; raises RuleFileError."""
    try:
        content = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RuleFileError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise RuleFileError(f"{path}: must be a mapping with the key `rules`")
    try:
        return AlertRules.model_validate(content)
    except ValidationError as error:
        problems = "\n".join(f"{path}: {_place(content, e['loc'])}: {e['msg']}" for e in error.errors())
        raise RuleFileError(problems) from error


def _place(content: dict[str, Any], loc: tuple[int | str, ...]) -> str:
    """`rules[1] (data-quality).severity` rather than a bare list of keys."""
    words = ""
    for depth, part in enumerate(loc):
        if isinstance(part, str):
            words += f".{part}" if words else part
            continue
        words += f"[{part}]"
        entry = content[str(loc[0])][part] if depth == 1 else None
        if isinstance(entry, dict) and entry.get("name"):
            words += f" ({entry['name']})"
    return words or "file"
