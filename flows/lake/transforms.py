"""The hook for Python: a dataset's own `transform(columns, functions)`, between typing and the rules.

It is given the typed columns by name, with Spark's functions of columns, and returns those that it replaces. It makes
columns out of columns, so that no row is lost by it and the books stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from flows.lake.definitions import Transform
from flows.lake.errors import DatasetError
from flows.lake.tables import ident

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from flows.lake.datasets import Dataset

Function = Callable[[Mapping[str, "Column"], ModuleType], Mapping[str, "Column"]]
_NAME = "transform"


def transformed(dataset: Dataset, rows: DataFrame) -> DataFrame:
    """The rows, of which the hook may have replaced columns, each in the type of its definition; as they are without a
    hook. Lazy. Raises DatasetError that names the file for a hook that is none, fails, or returns something else."""
    if dataset.transform is None:
        return rows
    columns = {name: rows[ident(name)] for name in dataset.columns}
    changed = _called(dataset.transform, columns, _functions_of(rows))
    if unknown := [name for name in changed if name not in dataset.columns]:
        raise DatasetError(
            f"{dataset.transform.file}: {_NAME} returns {unknown[0]!r}, which is no column of dataset "
            f"{dataset.name!r}; add it to its columns, with `optional: true` if no file has it"
        )
    # As the casts of values do: what does not fit is NULL, which a check of its own tells.
    typed = {name: column.try_cast(dataset.columns[name].type) for name, column in changed.items()}
    return rows.withColumns(typed)


def _functions_of(rows: DataFrame) -> ModuleType:
    """Those that make columns of the same kind of session: Spark Connect's are not the classic driver's."""
    kind = "pyspark.sql.connect" if type(rows).__module__.startswith("pyspark.sql.connect") else "pyspark.sql"
    return import_module(f"{kind}.functions")


def _called(transform: Transform, columns: Mapping[str, Any], functions: ModuleType) -> dict[str, Any]:
    try:
        answer = _loaded(transform)(columns, functions)
    except DatasetError:
        raise
    except Exception as error:
        raise DatasetError(f"{transform.file}: {_NAME} failed: {type(error).__name__}: {error}") from error
    if not isinstance(answer, Mapping):
        raise DatasetError(
            f"{transform.file}: {_NAME} must return columns by name, as {{'name': column}}; it returned "
            f"a {type(answer).__name__}"
        )
    return dict(answer)


def _loaded(transform: Transform) -> Function:
    spec = spec_from_file_location("dataset_transform", transform.file)
    if spec is None or spec.loader is None:
        raise DatasetError(f"{transform.file}: is no Python file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, _NAME, None)
    if not callable(function):
        raise DatasetError(f"{transform.file}: has no function {_NAME}(columns, functions)")
    return cast("Function", function)
