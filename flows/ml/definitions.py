"""Models as data: the typed form of `config/models.yaml`, and the version of what makes a model. No I/O on data."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from flows.ml.errors import DefinitionError

# MLflow's alias and filter syntax, a lock's file name and a Prefect artifact's key all take such a name.
ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
# The modules whose text decides what is learnt.
_MAKERS = ("candidates.py", "evaluation.py", "features.py", "training.py")


class ModelDefinition(BaseModel):
    """What is learnt from one Gold table; each field is explained in the file's head."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ModelName
    description: str = ""
    dataset: Name
    gold: Name
    entity: Name
    period: Name
    value: Name
    context: tuple[Name, ...] = ()
    min_rows: int = Field(default=100, ge=20)

    @model_validator(mode="after")
    def _columns_are_distinct(self) -> Self:
        if len(set(self.columns)) != len(self.columns):
            raise ValueError("entity, period, value and context must be different columns")
        return self

    @property
    def columns(self) -> list[str]:
        """The columns of Gold that the model knows of."""
        return [self.entity, self.period, self.value, *self.context]


def load_definitions(path: Path) -> list[ModelDefinition]:
    """Every model of the file; raises DefinitionError that names what is wrong and where."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DefinitionError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict) or not content:
        raise DefinitionError(f"{path}: must define at least one model")
    return [_parse(path, name, fields) for name, fields in content.items()]


def choose_definition(definitions: list[ModelDefinition], dataset: str, gold: str) -> ModelDefinition:
    """The model of a Gold table; raises DefinitionError that lists those that have one."""
    for definition in definitions:
        if (definition.dataset, definition.gold) == (dataset, gold):
            return definition
    known = ", ".join(f"dataset={d.dataset!r} with gold={d.gold!r}" for d in definitions)
    raise DefinitionError(f"no model is defined for dataset={dataset!r} with gold={gold!r}; defined are: {known}")


def code_version(definition: ModelDefinition) -> str:
    """Changes with the definition and with the code that makes a model of it; 12 hexadecimal digits. Needs no git."""
    digest = hashlib.sha256(definition.model_dump_json().encode())
    for name in _MAKERS:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()[:12]


def _parse(path: Path, name: object, fields: object) -> ModelDefinition:
    if not isinstance(fields, dict):
        raise DefinitionError(f"{path}: model {name!r} must be a mapping")
    try:
        return ModelDefinition(**{**fields, "name": name})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "model"
        raise DefinitionError(f"{path}: model {name!r}: {where}: {first['msg']}") from error
