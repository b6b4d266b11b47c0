"""`datalab publish TYPE --data @FILE.jsonl`: one event for each line, in batches, with progress on stderr."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from datalab.cli.ingest_client import BATCH, IngestClient, ingest, refusal

_EVENTS, _BYTES = 500, 4 * 1024 * 1024
_TOLD = 20


@dataclass
class _Outcome:
    accepted: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _Lines:
    """A batch: lines with their numbers, counted from 1."""

    numbers: list[int]
    payloads: list[Any]
    bytes: int


def publish_lines(path: Path, event: Mapping[str, Any], key: str | None, *, as_json: bool) -> int:
    """Publish every line; returns the exit code, 1 if any line was refused. Raises ValueError for a file that cannot
    be read, ConnectionError when ingest is away. With a key each batch has one of its own, so that the same file
    under the same key goes on where it was interrupted."""
    outcome = _Outcome()
    try:
        size = path.stat().st_size
        with _progress() as progress, ingest() as client:
            task = progress.add_task(path.name, total=size, events=0)
            for number, lines in enumerate(_batches(path, outcome)):
                _publish(client, lines, event, f"{key}/{number}" if key is not None else None, outcome)
                progress.update(task, advance=lines.bytes, events=outcome.accepted)
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise ConnectionError(f"{error}; {outcome.accepted} events were published") from error
        raise ValueError(f"--data: {path} cannot be read: {error.strerror}") from error
    _tell(path, outcome, as_json=as_json)
    return 1 if outcome.failures else 0


def _publish(client: IngestClient, lines: _Lines, event: Mapping[str, Any], key: str | None, outcome: _Outcome) -> None:
    given = [{} if key is not None else {"id": str(uuid.uuid4())} for _ in lines.payloads]
    events = [{**event, **ids, "data": payload} for ids, payload in zip(given, lines.payloads, strict=True)]
    answer = client.post(events, BATCH, key)
    body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    if "results" not in body:
        raise refusal(answer)
    outcome.accepted += body["accepted"]
    for result in body["results"]:
        if result["status"] != 202:
            outcome.failures.append({"line": lines.numbers[result["index"]], "reason": result["detail"]})


def _batches(path: Path, outcome: _Outcome) -> Iterator[_Lines]:
    """The lines that are JSON, some at a time; the others go to the failures. Empty lines are passed over."""
    with path.open("rb") as file:
        numbered = enumerate(file, start=1)
        while some := list(islice(numbered, _EVENTS)):
            lines = _Lines([], [], 0)
            for number, line in some:
                if lines.bytes + len(line) > _BYTES and lines.payloads:
                    yield lines
                    lines = _Lines([], [], 0)
                lines.bytes += len(line)
                if line.strip():
                    _add(lines, number, line, outcome)
            yield lines


def _add(lines: _Lines, number: int, line: bytes, outcome: _Outcome) -> None:
    try:
        payload = json.loads(line)
    except ValueError as error:
        outcome.failures.append({"line": number, "reason": f"is not JSON: {error}"})
        return
    lines.numbers.append(number)
    lines.payloads.append(payload)


def _progress() -> Progress:
    """On stderr, and only where somebody watches."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[events]} events"))
    return Progress(
        *columns, TransferSpeedColumn(), TimeRemainingColumn(), console=console, disable=not console.is_terminal
    )


def _tell(path: Path, outcome: _Outcome, *, as_json: bool) -> None:
    if as_json:
        body = {"accepted": outcome.accepted, "refused": len(outcome.failures), "failures": outcome.failures}
        sys.stdout.write(json.dumps(body, ensure_ascii=False) + "\n")
        return
    for failure in outcome.failures[:_TOLD]:
        sys.stderr.write(f"{path}:{failure['line']}: {failure['reason']}\n")
    if len(outcome.failures) > _TOLD:
        sys.stderr.write(f"and {len(outcome.failures) - _TOLD} more; --json shows all\n")
    sys.stdout.write(f"{outcome.accepted} published, {len(outcome.failures)} refused\n")
