"""`config/datasets.yaml` as far as files go: which are whose. Read again when it changes; a wrong one is not taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

import yaml
from pydantic import ValidationError

from datalab.runtime.logs import get_logger
from schemas.sources import Source
from services.ingest.placement import dataset_of

log = get_logger(__name__)


class DatasetFileError(ValueError):
    """The file is wrong. The message has a line for each fault: file, line, field and why."""


class DatasetFile:
    """The sources of the datasets, as they were when the file was last in order; none before that."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, int] | None = None
        self._fault: str | None = None
        self.sources: Mapping[str, Source] = {}

    async def check(self) -> str | None:
        """Readiness: None, or what is wrong with the file; what it said before stays in force."""
        return self._fault

    def refresh(self) -> None:
        """Read the file if it is another than at the last call. Never raises."""
        try:
            status = self._path.stat()
            version = (status.st_mtime_ns, status.st_size)
        except OSError:
            version = (0, 0)
        if version == self._version:
            return
        try:
            sources = {} if version == (0, 0) else read_sources(self._path)
        except DatasetFileError as error:
            self._fault = str(error)
            log.warning("datasets.refused", reason=self._fault)
        else:
            self.sources, self._fault = sources, None
            log.info("datasets.loaded", path=str(self._path), datasets=sorted(sources))
        self._version = version

    def settle_s(self, relative: PurePath) -> float | None:
        """How long a file must stay the same if its dataset says so."""
        dataset = dataset_of(relative, self.sources)
        source = None if dataset is None else self.sources.get(dataset)
        return source.settle_seconds if source is not None else None


def read_sources(path: Path) -> dict[str, Source]:
    """The `source` of each dataset, in the file's order. Raises DatasetFileError that names all that is wrong.

    The rest of an entry is for the flows, and not judged here.
    """
    try:
        loader = yaml.SafeLoader(path.read_text("utf-8"))
        root = loader.get_single_node()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetFileError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise DatasetFileError(f"{where}: not YAML: {getattr(error, 'problem', error)}; correct the syntax") from error
    if not isinstance(root, yaml.MappingNode):
        raise DatasetFileError(f"{path}:1: must be a map of datasets by name")
    sources: dict[str, Source] = {}
    faults: list[str] = []
    for key, entry in root.value:
        node = _child(entry, "source")
        if not isinstance(entry, yaml.MappingNode):
            faults.append(f"{path}:{key.start_mark.line + 1}: {key.value}: must be a map")
        elif key.value in sources:
            faults.append(f"{path}:{key.start_mark.line + 1}: {key.value}: stands twice; remove one")
        else:
            sources[key.value] = _source(path, key.value, node, loader, faults)
    if faults:
        raise DatasetFileError("\n".join(faults))
    return sources


def _source(path: Path, name: str, node: yaml.Node | None, loader: yaml.SafeLoader, faults: list[str]) -> Source:
    if node is None:
        return Source()
    try:
        return Source.model_validate(loader.construct_document(node))
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            field = ".".join(map(str, (name, "source", *fault["loc"])))
            faults.append(f"{path}:{_line(node, fault['loc'])}: {field}: {fault['msg']}")
    except yaml.YAMLError as error:
        faults.append(f"{path}:{node.start_mark.line + 1}: {name}.source: {error}")
    return Source()


def _child(node: yaml.Node, step: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return node.value[step]  # type: ignore[no-any-return]  # nodes are untyped
    return None


def _line(node: yaml.Node, steps: Sequence[int | str]) -> int:
    """The line of a field, or of the innermost part of its path that is there."""
    for step in steps:
        inner = _child(node, step)
        if inner is None:
            break
        node = inner
    return node.start_mark.line + 1
