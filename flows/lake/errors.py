"""What can go wrong in the lake, in plain words; which of it is worth another try, see `flows.errors`."""

from __future__ import annotations

from flows.errors import FlowError


class LakeError(FlowError):
    """Base."""


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


class AnnouncementError(LakeError):
    """Kafka did not take the events of an ingestion."""

    transient = True


class ReportError(LakeError):
    """The report could not be written."""

    transient = True


class LakeBusyError(LakeError):
    """Another run kept the dataset for longer than this one may wait."""

    transient = True


class SparkUnavailableError(LakeError):
    """No Spark answers."""

    transient = True


class StorageFullError(LakeError):
    """A disk took no more."""

    transient = True


# What a disk that is full, a quota and a limit of a process say, through whatever layer of Spark or of Python.
_FULL = ("No space left on device", "Disk quota exceeded", "File too large")


def storage_full(error: Exception, where: str) -> StorageFullError | None:
    """The error in plain words if it tells of a full disk."""
    said = next((words for words in _FULL if words in str(error)), None)
    if said is None:
        return None
    return StorageFullError(
        f"{where}: {said}. Make room there, or let maintenance delete what no version needs, and run again: what was "
        "committed stays, and nothing is done twice"
    )
