"""What can go wrong in the lake, in plain words: each message is shown as the state of a run.

A `LakeError` would fail again in the same way, so a task does not retry it, unless `transient` says that it may pass.
"""

from __future__ import annotations


class LakeError(Exception):
    """Base. Its message is for the person who reads the run's state."""

    transient = False


class DatasetError(LakeError):
    """The dataset is unknown, or its definition is wrong."""


class SourceError(LakeError):
    """The source is missing, empty, not text, or does not fit the dataset."""


class QualityRefusedError(LakeError):
    """A rule of severity `fail` did not hold: Silver and Gold stay as they were."""


class BooksError(LakeError):
    """Rows that went in are not the rows that came out."""


class BatchError(LakeError):
    """Some files of a directory could not be loaded; the others were."""


class LakeBusyError(LakeError):
    """Another run kept the dataset for longer than this one may wait."""

    transient = True


class SparkUnavailableError(LakeError):
    """No Spark answers."""

    transient = True
