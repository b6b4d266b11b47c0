"""Whether parameters fit a deployment, before Prefect is asked for the run: its `parameter_openapi_schema`.

As Prefect judges them itself, and one step further: a parameter that the flow does not have is named too, which Prefect
would only tell once the run fails. Knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import jsonschema_rs

_LONGEST = 300


class ParameterSchema:
    """The parameters that a deployment takes. Without a schema, or where the deployment does not enforce its schema
    (`enforce_parameter_schema`), everything fits. `defaults` are those of the deployment; parameters go over them."""

    def __init__(self, schema: Mapping[str, Any] | None, defaults: Mapping[str, Any], *, enforced: bool) -> None:
        self._defaults = dict(defaults)
        self._names: set[str] | None = None
        self._validator: jsonschema_rs.Draft202012Validator | None = None
        if not enforced or not schema:
            return
        if "properties" in schema and schema.get("additionalProperties") is not True:
            self._names = set(schema["properties"])
        try:
            self._validator = jsonschema_rs.Draft202012Validator(_nullable(schema), offline=True)
        except (ValueError, jsonschema_rs.ReferencingError):
            # Faulty, or it refers to what is elsewhere: Prefect, which has the last word, says so for each run.
            self._validator = None

    def fault(self, parameters: Mapping[str, Any]) -> str | None:
        """What is wrong, by the name of the parameter; None if the parameters fit."""
        if self._names is not None and (strange := sorted(set(parameters) - self._names)):
            known = ", ".join(sorted(self._names)) or "none at all"
            return f"parameter {strange[0]}: the flow has no such parameter; it has {known}"
        if self._validator is None:
            return None
        given = self._defaults | dict(parameters)
        # The quick answer first; listing errors costs more.
        if self._validator.is_valid(given):
            return None
        return next((_told(error) for error in self._validator.iter_errors(given)), None)


def _told(error: jsonschema_rs.ValidationError) -> str:
    path = [str(step) for step in error.instance_path]
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required(name):
            return f"parameter {'.'.join([*path, str(name)])}: is missing"
    return f"parameter {'.'.join(path) or '(all)'}: {error.message[:_LONGEST]}"


def _nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What is neither required nor has a default may be null, although such schemas say only its type: so Prefect
    reads them as well."""
    read = deepcopy(dict(schema))
    required = set(read.get("required", ()))
    for name, about in read.get("properties", {}).items():
        if name not in required and isinstance(about.get("type"), str) and "default" not in about:
            about["type"] = [about["type"], "null"]
    return read
