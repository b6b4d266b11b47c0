"""What can go wrong in training and scoring, in plain words; which of it is worth another try, see `flows.errors`."""

from __future__ import annotations

from flows.errors import FlowError


class ModelError(FlowError):
    """Base."""


class DefinitionError(ModelError):
    """No model is defined for the table, or its definition is wrong."""


class GoldError(ModelError):
    """The Gold table is missing, lacks the version or a column, or does not fit the definition."""


class ModelMisfitError(ModelError):
    """The champion cannot be applied to the features that are made today."""


class MLflowRefusedError(ModelError):
    """MLflow answers, and refuses."""


class MLflowUnavailableError(ModelError):
    """No MLflow answers, or it fails on its side."""

    transient = True
